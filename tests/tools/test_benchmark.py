"""tools/benchmark.py --only runtimes, for one short round."""

import importlib.util
from pathlib import Path

from kerasgen import places

PATH = Path(__file__).parents[2] / "tools" / "benchmark.py"
spec = importlib.util.spec_from_file_location("benchmark", PATH)
benchmark = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


def test_every_runtime_is_measured(digits_artifact, monkeypatch):
    monkeypatch.setattr(places, "SAVED_MODELS", digits_artifact.parent)
    results = {}
    for name, ours, peer, _, units in benchmark.BENCHMARKS["runtimes"]():
        assert ours()["images"].shape == peer()["images"].shape
        results[name] = benchmark.measure(ours, peer, rounds=1, units=units)
    runtimes = ("savedmodel", "onnx", "litert")
    assert set(results) == {f"runtimes/vae/{r}/{n}" for r in runtimes for n in (1, 32)}
    assert all(found["ratio"] > 0 for found in results.values())
