"""dlbench's torch:library beside a plain timing loop around torch.nn.functional.conv2d, on the same layers.

Each of several turns measures every layer both ways, each way in fresh processes, alternating which comes first; both are
reduced by the same estimator, the 5 % quantile of the samples of all processes. Goal: they agree within 3 % over the layers.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _machine import name

import dlbench
from dlbench.devices.cpu import usable_cores
from dlbench.statistics import LOW_QUANTILE, quantile

LAYERS = ("res2a_branch2b", "res3b_branch2b", "res4a_branch2c", "res5b_branch2a")
TURNS = 6
SECONDS = 0.6
GOAL = 0.03
FREED = 28_000_000
"""Bytes that the plain process allocates and frees first, as any program that has loaded a model has done. Until a
process has freed a large block, glibc gives each output of some 100 KiB or more back to the system, and every call pays
for hundreds of page faults (M_MMAP_THRESHOLD in mallopt(3)); a dlbench worker has freed its float64 reference."""

PLAIN = """
import gc, json, sys, time
import numpy as np, torch
from torch.nn.functional import conv2d
job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
torch.zeros(job["freed"] // 4)  # freed at once: see FREED
rng = np.random.default_rng(0)
out = {}
for layer, p in job["layers"].items():
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    x, w = draw(p["n"], p["c"], p["h"], p["w"]), draw(p["k"], p["c"], p["r"], p["s"])
    with torch.inference_mode():
        samples, end = [], time.perf_counter() + job["seconds"]
        for _ in range(5):
            conv2d(x, w, None, p["stride"], p["pad"])
        gc.disable()
        while time.perf_counter() < end:
            start = time.perf_counter()
            conv2d(x, w, None, p["stride"], p["pad"])
            samples.append(time.perf_counter() - start)
        gc.enable()
    out[layer] = samples
print(json.dumps(out))
"""


def plain(params: dict[str, dict[str, int]]) -> dict[str, list[float]]:
    """Return the samples of a plain loop in a fresh process, by layer."""
    job = json.dumps({"threads": usable_cores(), "layers": params, "seconds": SECONDS, "freed": FREED})
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, job], check=True, capture_output=True, text=True, env=os.environ
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def ours(store: str) -> tuple[dict[str, list[float]], dict[str, dict[str, int]]]:
    """Return dlbench's samples from one round of fresh processes, and the problems' parameters, by layer."""
    overrides = [
        "variants=torch:library",
        "baseline=null",
        "measure.rounds.min=1",
        "measure.rounds.max=1",
        f"measure.first_visit={SECONDS}",
    ]
    selected = "layer=" + "|".join(LAYERS)
    run = dlbench.run("conv", overrides=overrides, only=[selected], store=store, peaks=False)
    samples = {m.case.layer: list(m.rounds[0]) for m in run.record.measurements}
    return samples, {m.case.layer: json.loads(m.case.params) for m in run.record.measurements}


def main() -> int:
    """Print the ratio per layer and over all; return 1 when they disagree by more than the goal."""
    pooled: dict[str, tuple[list[float], list[float]]] = {layer: ([], []) for layer in LAYERS}
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        _, params = ours(store)
        for turn in range(TURNS):
            for ours_first in (turn % 2 == 0, turn % 2 == 1):
                found = ours(store)[0] if ours_first else plain(params)
                for layer, samples in found.items():
                    pooled[layer][0 if ours_first else 1].extend(samples)
    print(name())
    logs = []
    for layer, (dlbench_samples, plain_samples) in pooled.items():
        a, b = quantile(dlbench_samples, LOW_QUANTILE), quantile(plain_samples, LOW_QUANTILE)
        logs.append(math.log(a / b))
        print(f"{layer:16} dlbench {a * 1e6:8.1f} µs   plain loop {b * 1e6:8.1f} µs   ratio {a / b:.3f}")
    mean = math.exp(sum(logs) / len(logs))
    print(f"geometric mean of the ratios {mean:.3f} (goal within {GOAL:.0%})")
    return int(abs(mean - 1) > GOAL)


if __name__ == "__main__":
    sys.exit(main())
