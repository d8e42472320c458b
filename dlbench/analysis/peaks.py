"""What a machine can do at most, as dlbench measured it, and how close a case comes.

The roofline model (S. Williams, A. Waterman, D. Patterson, Roofline, CACM 52(4), 2009): a call that does I
operations per compulsory byte runs at no more than min(peak FLOP/s, I * bandwidth). Peaks are an ordinary run
of the config `peaks`: matrix products for FLOP/s, the STREAM triad over a range of working sets for
bandwidth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dlbench.analysis.headline import headline
from dlbench.results.measurement import CaseRecord, Run
from dlbench.results.store import Store

PEAKS_CONFIG = "peaks"
IMPOSSIBLE = 1.05
"""A rate so far above the measured peak is no luck: peaks are measured to a few per cent."""
_COMPUTE_OP = "matmul"
_BANDWIDTH_OP = "triad"

Bound = Literal["compute", "memory"]


class Ceiling(NamedTuple):
    """The roof over one case: `rate` in FLOP/s, or bytes/s for an op without operations."""

    rate: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Roof:
    """One device's measured peaks.

    `flops` is FLOP/s by dtype; `bandwidths` pairs a working set in bytes with bytes/s, the smallest set
    first.
    """

    flops: Mapping[str, float]
    bandwidths: tuple[tuple[int, float], ...]

    def bandwidth(self, traffic: int, cache: str) -> float | None:
        """Return the bytes/s that a call over so many bytes can have at most, None where none was measured.

        Hot, its data may be in any cache that holds them: the best of all working sets at least as large.
        Cold, they come from memory: the largest working set.
        """
        if not self.bandwidths:
            return None
        reaching = [rate for size, rate in self.bandwidths if size >= traffic]
        return max(reaching) if reaching and cache == "hot" else self.bandwidths[-1][1]

    def over(self, case: CaseRecord) -> Ceiling | None:
        """Return the roof over a case, None where a peak that it needs was not measured."""
        bandwidth = self.bandwidth(case.traffic, case.cache)
        if bandwidth is None or not case.traffic:
            return None
        if not case.flops:
            return Ceiling(bandwidth, "memory")
        compute = self.flops.get(case.dtype)
        if compute is None:
            return None
        memory = bandwidth * case.flops / case.traffic
        return Ceiling(compute, "compute") if compute <= memory else Ceiling(memory, "memory")


@dataclass(frozen=True, slots=True)
class Peaks:
    """The measured roofs of a machine's devices, by device."""

    roofs: Mapping[str, Roof]

    def roof(self, device: str) -> Roof:
        """Return a device's roof, an empty one where nothing was measured."""
        return self.roofs.get(device, Roof({}, ()))


def peaks_from(run: Run) -> Peaks:
    """Return the peaks that a run measured: the best of its variants for each dtype and each working set."""
    flops: defaultdict[str, dict[str, float]] = defaultdict(dict)
    bandwidths: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for measurement in run.measurements:
        case, time = measurement.case, headline(measurement)
        if time is None:
            continue
        if case.op == _COMPUTE_OP:
            _keep_best(flops[case.device], case.dtype, case.flops / time.value)
        elif case.op == _BANDWIDTH_OP:
            _keep_best(bandwidths[case.device], case.traffic, case.traffic / time.value)
    devices = sorted(flops.keys() | bandwidths.keys())
    return Peaks({name: Roof(flops[name], tuple(sorted(bandwidths[name].items()))) for name in devices})


def _keep_best(best: dict[Any, float], key: Any, rate: float) -> None:
    best[key] = max(rate, best.get(key, 0.0))


def find_peaks(store: Store, environment: Mapping[str, Any]) -> Peaks | None:
    """Return the peaks of the machine that an environment describes, from its newest finished peaks run.

    The fingerprint must be the same: another machine, thread count or library version has other peaks.
    """
    fingerprint = (environment.get("machine") or {}).get("fingerprint")
    for summary in store.runs():
        if summary.name == PEAKS_CONFIG and summary.finished and summary.fingerprint == fingerprint:
            return peaks_from(store.load(summary.id))
    return None
