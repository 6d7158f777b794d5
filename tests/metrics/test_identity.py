"""Figures say whose they are, and are never those of another model."""

import json
import re
import shutil

import pytest

import kerasgen
from kerasgen import manifest, places, recipe
from kerasgen.cli import main
from kerasgen.errors import InputError
from kerasgen.identity import Identity
from kerasgen.metrics import identity, selection

SAMPLES = {"nearest_neighbour", "diversity"}


def small(**values):
    network = {"name": "convolutional", "widths": [4]}
    steps = {"sampling_steps": 3, "restoration_steps": 2, "resampling": 1}
    values = {"network": network, "classes": 10, "guidance": 1.5} | steps | values
    return kerasgen.DDPM((8, 8, 1), **values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A diffusion model of digits, evaluated: a run directory."""
    folder = tmp_path_factory.mktemp("identity") / "run"
    folder.mkdir()
    small(ema_decay=0.9).save(folder / "best.keras")
    settings = {"evaluate.bound_draws": 1, "evaluate.samples": 20}
    values = recipe.read("ddpm_digits", settings)
    (folder / "recipe.yaml").write_text(values.text())
    assert main(["evaluate", str(folder), "--quiet"]) == 0
    return folder


def written(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())["figures"]


def test_weights_are_those_that_are_shipped(tmp_path):
    model = small(ema_decay=0.9)
    for average in model.averages:  # not the weights
        average.assign(average + 0.5)
    shipped = Identity.of(model)
    model.save(tmp_path / "run.keras")
    model.baked().save(tmp_path / "artifact.keras")
    for name in ("run.keras", "artifact.keras"):
        assert Identity.of(kerasgen.load(tmp_path / name)) == shipped
    assert Identity.of(model.baked(averaged=False)).weights != shipped.weights
    again = model.baked()
    assert Identity.of(again) == shipped
    weight = again.network_variables[-1]
    weight.assign(weight + 1e-6)
    assert Identity.of(again).weights != shipped.weights


def test_a_figure_says_whose_it_is(run):
    figures, model = written(run), kerasgen.load(run)
    assert set(figures) == {"bits_per_dim", *SAMPLES}
    found = figures["diversity"]["identity"]
    assert (
        found["weights"] == Identity.of(model).weights and len(found["weights"]) == 64
    )
    values = found["model"]
    assert values["sampler"] == "dpm-solver++" and values["sampling_steps"] == 3
    assert values["guidance"] == 1.5 and values["clip"] is True
    assert found["evaluate"] == {"seed": 0, "samples": 20, "features": None}
    assert found["data"] == "bundled:digits" and found["runtime"] == "keras"
    assert "resampling" not in values and "levels" not in values
    protocol = figures["diversity"]["protocol"]
    assert protocol.endswith("; dpm-solver++, 3 steps; guidance 1.5")
    bound = figures["bits_per_dim"]
    assert "clip" in bound["identity"]["model"]
    assert "sampler" not in bound["identity"]["model"]
    assert "guidance" not in bound["protocol"]


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--sampler", "ddpm"], "sampler ddpm, not dpm-solver++"),
        (["--sampling-steps", "5"], "sampling_steps 5, not 3"),
        (["--guidance", "2"], "guidance 2.0, not 1.5"),
        (["--set", "model.clip=false"], "clip false, not true"),
        (["--no-ema"], "other weights"),
    ],
)
def test_figures_of_another_model_are_printed_but_not_kept(
    run, options, difference, tmp_path, capsys
):
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "metrics.json"
    if options == ["--no-ema"]:
        path.unlink()
        model = small(ema_decay=0.9)
        model.averages[0].assign(model.averages[0] + 1.0)
        model.save(copy / "best.keras")
    before = path.read_bytes() if path.exists() else None
    evaluate = ["evaluate", str(copy), "--only", "samples", *options]
    assert main(evaluate) == 0
    out = capsys.readouterr().out
    assert f"not kept in {path}: nearest_neighbour, diversity: " in out
    assert difference in out and "--json FILE writes" in out
    assert re.search(r"\n  diversity \d", out)
    assert (path.read_bytes() if path.exists() else None) == before
    target = tmp_path / "other.json"
    assert main([*evaluate, "--json", str(target), "--quiet"]) == 0
    other = json.loads(target.read_text())["figures"]
    assert set(other) == SAMPLES
    assert other["diversity"] != written(run)["diversity"]


def test_what_is_of_the_model_stays_and_what_is_not_goes(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    assert main(["evaluate", str(copy), "--only", "samples", "--quiet"]) == 0
    assert written(copy) == written(run)
    # Other examples than those that judge the model:
    assert main(["evaluate", str(copy), "--only", "samples", "--samples", "9"]) == 0
    assert "not kept" in capsys.readouterr().out and written(copy) == written(run)
    # A guidance is nothing to the bound:
    assert main(["evaluate", str(copy), "--only", "bound", "--guidance", "3"]) == 0
    assert "not kept" not in capsys.readouterr().out
    assert written(copy) == written(run)
    model = kerasgen.load(copy)
    model.averages[0].assign(model.averages[0] + 1.0)
    model.save(copy / "best.keras")
    assert main(["evaluate", str(copy), "--only", "samples"]) == 0
    assert "no longer in" in capsys.readouterr().out
    assert set(written(copy)) == SAMPLES
    assert written(copy)["diversity"] != written(run)["diversity"]


def test_a_damaged_file_is_written_anew(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    part = '{"figures": {"nll": {"value": 1.0, "identity": {}}}}'
    for content in ('{"figures": {"nll"', "[]", '{"figures": [3]}', "{}", part):
        (copy / "metrics.json").write_text(content)
        assert main(["evaluate", str(copy), "--only", "bound"]) == 0
        assert "metrics.json is damaged" in capsys.readouterr().err
        assert written(copy) == {"bits_per_dim": written(run)["bits_per_dim"]}


def test_only_figures_of_the_model_itself_are_shipped(run, tmp_path):
    content = json.loads((run / "metrics.json").read_text())
    model = kerasgen.load(run)
    same, others = Identity.of(model).belonging(content)
    assert same == content and others == []
    guided = model.changed(guidance=1.2)
    kept, others = Identity.of(guided).belonging(content)
    assert set(kept["figures"]) == {"bits_per_dim"}
    assert others == [
        "nearest_neighbour, diversity: measured with guidance 1.5, not 1.2"
    ]
    with pytest.raises(InputError, match="not shipped: nearest_neighbour, diversity"):
        guided.export(tmp_path / "artifact", figures=content)
    del content["figures"]["diversity"]["identity"]
    (line,) = Identity.of(model).belonging(content)[1]
    assert line == "diversity: of an unknown model"
    content["figures"]["bits_per_dim"]["identity"]["runtime"] = "onnx-int8"
    assert (
        "bits_per_dim: measured in onnx-int8"
        in Identity.of(model).belonging(content)[1]
    )


def test_an_unchanged_artifact_adopts_its_figures(digits_artifact, tmp_path):
    """Older ones have no identity, but the manifest holds the hash of the weights."""
    copy = shutil.copytree(digits_artifact, tmp_path / "copy")
    place, path = places.find(copy), copy / "metrics.json"
    model, values = kerasgen.load(copy), places.find(copy).recipe()
    new = json.loads(path.read_text())
    old = json.loads(path.read_text())
    for figure in old["figures"].values():
        del figure["identity"]
    path.write_text(json.dumps(old))
    found = identity.read(place.folder, model, values)
    assert found == old  # metrics.json isn't what the manifest says
    about = manifest.read(copy)
    del about["files"]
    manifest.write(copy, about)
    assert identity.read(copy, model, values) == new
    assert Identity.of(model).belonging(new)[1] == []
    (copy / "README.md").write_text("changed")
    assert identity.read(copy, model, values) == old


def test_an_artifact_is_exported_anew_with_its_figures(digits_artifact, tmp_path):
    out = str(tmp_path / "again")
    export = ["export", str(digits_artifact), "--out", out, "--formats", "savedmodel"]
    assert main([*export, "--quiet"]) == 0
    assert written(tmp_path / "again") == written(digits_artifact)


@pytest.mark.parametrize(
    ("name", "data", "split", "expected"),
    [
        ("vae_digits", None, "test", []),
        ("vae_digits", None, "validation", ["on these examples"]),
        ("dcgan_fashion_mnist", None, "validation", []),  # the last epoch
        ("gpt_tiny_shakespeare", None, "test", [r"on a part .*\[validation\]"]),
        (
            "gpt_tiny_shakespeare",
            {k: f"tfds:tiny_shakespeare[{k}]" for k in ("train", "validation", "test")},
            "test",
            [],
        ),
        (
            "gpt_tiny_shakespeare",
            {"train": "text:a", "validation": "text:b", "test": "text:b"},
            "test",
            ["on these examples"],
        ),
    ],
)
def test_a_protocol_says_whether_the_epoch_was_chosen_on_it(
    name, data, split, expected
):
    values = recipe.read(name, {"data": data} if data else None)
    model = kerasgen.Model.families[values.family]
    found = selection.chosen_on(model, values, split)
    assert len(found) == len(expected)
    for line, pattern in zip(found, expected, strict=True):
        assert re.search(f"the epoch was chosen {pattern}", line)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("tfds:x[test]", "tfds:x[validation+test]", True),
        ("tfds:x[validation]", "tfds:x[test]", False),
        ("tfds:x", "tfds:x[test]", True),
        ("tfds:x[train[:90%]]", "tfds:x[train[90%:]]", False),
        ("tfds:x[train[:90%]]", "tfds:x[train]", True),
        ("tfds:x[test]", "tfds:y[test]", False),
        ("folder:a", "folder:a", True),
        ("folder:a", "folder:b", False),
    ],
)
def test_sources_that_share_examples(a, b, expected):
    assert selection.overlap(a, b) is selection.overlap(b, a) is expected
