"""Compare the speed of kerasgen with others', side by side.

    python tools/benchmark.py [--only NAME] [--rounds N] [--json FILE]

Ours and the peer run in turn in one process, several rounds, after a warm-up round
each; `ratio` is the median of the rounds' paired ratios, peer's time / our time, so
above 1 is ours faster. Times themselves mean little on shared machines.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as import_tensorflow

from benchmarks import images, runtimes, texts

from kerasgen.errors import InputError, unknown

# A new one is a function there (see benchmarks/common.py) and its entry here.
BENCHMARKS = {
    "vae_step": images.vae_step,
    "vae_fit": images.vae_fit,
    "ddpm_loop": images.ddpm_loop,
    "unet_step": images.unet_step,
    "lm_generate": texts.lm_generate,
    "lm_sample": texts.lm_sample,
    "lm_step": texts.lm_step,
    "translate": texts.translate,
    "backends": runtimes.backends,
    "runtimes": runtimes.every_runtime,
}


def measure(ours: Callable, peer: Callable, rounds: int, units: int) -> dict:
    """Time both in turn, swapping who goes first from round to round."""
    times, first = {ours: [], peer: []}, {}
    for i in range(-1, rounds):  # round -1 warms up
        for function in (ours, peer) if i % 2 else (peer, ours):
            start = time.perf_counter()
            own = function()
            taken = own if isinstance(own, float) else time.perf_counter() - start
            if i < 0:
                first[function] = taken
            else:
                times[function].append(taken / units)
    ratios = [p / o for o, p in zip(times[ours], times[peer], strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ours": statistics.median(times[ours]),
        "peer": statistics.median(times[peer]),
        "runs": ratios,
        "first_call": {"ours": first[ours], "peer": first[peer]},  # in seconds
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Compare kerasgen's speed with others'."
    )
    parser.add_argument(
        "--only", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    try:
        if options.only is not None and options.only not in BENCHMARKS:
            raise unknown("benchmark", options.only, BENCHMARKS)
        chosen = [options.only] if options.only else list(BENCHMARKS)
        results = {}
        for benchmark in chosen:
            for name, ours, peer, unit, units, *about in BENCHMARKS[benchmark]():
                found = measure(ours, peer, options.rounds, units) | {"unit": unit}
                results[name] = found | (about[0](found) if about else {})
                print(f"{name}: ratio {found['ratio']:.2f} ({options.rounds} rounds)")
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
