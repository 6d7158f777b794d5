"""tools/sizes.py: what the zoo may have, and what it says it has."""

from pathlib import Path

import pytest
import sizes

ROOT = Path(__file__).parents[2]


def test_no_artifact_of_the_zoo_is_too_large():
    found = sizes.zoo(ROOT / "saved_models")
    lines = [line for line in sizes.too_large(found) if "the zoo" not in line]
    assert len(found) > 10 and not lines


@pytest.fixture
def small_zoo(tmp_path):
    for name, size in (
        ("manifest.json", 1),
        ("model.keras", 3_000_000),
        ("1/variables/variables.data-00000-of-00001", 2_000_000),
        ("onnx/shared.fp16.weights", 500_000),
        ("onnx/a.fp16.onnx", 100_000),
        ("onnx/a.int8.onnx", 400_000),
        ("onnx/a.onnx", 700_000),
        ("litert/model.tflite", 800_000),
        ("litert/model.int8.tflite", 200_000),
    ):
        path = tmp_path / "some" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    return tmp_path


def test_every_byte_is_counted_once(small_zoo, capsys):
    assert sizes.main(["--zoo", str(small_zoo), "--check"]) == 0
    head, some, total = capsys.readouterr().out.splitlines()
    found = dict(zip(head.split(), some.split()[1:], strict=True))
    assert found == {
        "keras": "3.0",
        "savedmodel": "2.0",
        "onnx-fp16": "0.6",
        "onnx-int8": "0.4",
        "onnx": "0.7",
        "litert-int8": "0.2",
        "litert": "0.8",
        "other": "0.0",
        "all": "7.7",
    }
    assert total.split()[1:] == some.split()[1:]


def test_what_is_too_large_is_named(small_zoo, monkeypatch, capsys):
    monkeypatch.setattr(sizes, "LARGEST", 7)
    assert sizes.main(["--zoo", str(small_zoo), "--check"]) == 1
    assert capsys.readouterr().err == "some has 7.7 MB, more than 7\n"
    monkeypatch.setattr(sizes, "ALL", 7)
    assert sizes.main(["--zoo", str(small_zoo), "--check"]) == 1
    assert "the zoo has 7.7 MB, more than 7" in capsys.readouterr().err
