"""What a machine can do at most, as dlbench measured it and as its makers state it, and how close a case comes.

The roofline model (S. Williams, A. Waterman, D. Patterson, Roofline, CACM 52(4), 2009): a call that does I
operations per compulsory byte runs at no more than min(peak FLOP/s, I * bandwidth). Peaks are an ordinary run
of the config `peaks`: matrix products for FLOP/s, the STREAM triad over a range of working sets for
bandwidth. What the makers state comes with a run's environment, under `datasheets`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from dlbench.analysis.headline import headline
from dlbench.results.measurement import CaseRecord, Measurement, Run
from dlbench.results.store import Store

PEAKS_CONFIG = "peaks"
IMPOSSIBLE = 1.05
"""A rate so far above the measured peak is no luck: peaks are measured to a few per cent."""
ROUNDING = 1.01
"""A datasheet prints two or three digits: a rate so little above it need not be."""
CLOCK = "sm_clock_mhz"
"""The condition of a visit that says at which clock an accelerator ran."""
_OVER_A_LINK = ("to_device", "to_host")
"""What goes between host and device is no share of what the device's memory can do."""
_COMPUTE_OP = "matmul"
_BANDWIDTH_OP = "triad"

Bound = Literal["compute", "memory"]


class Ceiling(NamedTuple):
    """The roof over one case: `rate` in FLOP/s, or bytes/s for an op without operations."""

    rate: float
    bound: Bound


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a device does at most by its datasheet, without sparsity.

    `flops` is FLOP/s by dtype, `bandwidth` bytes/s of its memory; `boost_mhz` is the clock at which they are stated.
    """

    flops: Mapping[str, float]
    bandwidth: float | None = None
    boost_mhz: float | None = None
    source: str = ""

    def over(self, case: CaseRecord) -> Ceiling | None:
        """Return the roof over a case, None where a peak that it needs is not stated."""
        return _lower(case, self.flops.get(case.dtype), self.bandwidth)

    def most(self, dtype: str, clock_mhz: float | None) -> float | None:
        """Return the FLOP/s that the dtype can have at that clock, None where no peak is stated.

        A board that clocks higher than its sheet says is that much faster; below, the stated peak stays.
        """
        stated = self.flops.get(dtype)
        if stated is None or clock_mhz is None or self.boost_mhz is None:
            return stated
        return stated * max(1.0, clock_mhz / self.boost_mhz)

    def exceeded(self, rate: float, dtype: str, clock_mhz: float | None) -> float | None:
        """Return the peak at that clock if so many FLOP/s are more than it allows, else None."""
        most = self.most(dtype, clock_mhz)
        return most if most is not None and rate > ROUNDING * most else None


@dataclass(frozen=True, slots=True)
class Roof:
    """One device's peaks: as measured, and beside them its datasheet, where there is one.

    `flops` is FLOP/s by dtype; `bandwidths` pairs a working set in bytes with bytes/s, the smallest set
    first.
    """

    flops: Mapping[str, float]
    bandwidths: tuple[tuple[int, float], ...]
    sheet: Sheet | None = None

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
        """Return the measured roof over a case, None where a peak that it needs was not measured."""
        if case.op in _OVER_A_LINK:
            return None
        return _lower(case, self.flops.get(case.dtype), self.bandwidth(case.traffic, case.cache))


def _lower(case: CaseRecord, compute: float | None, bandwidth: float | None) -> Ceiling | None:
    """Return the lower of the two roofs at the case's intensity, None where one that it needs is unknown."""
    if bandwidth is None or not case.traffic:
        return None
    if not case.flops:
        return Ceiling(bandwidth, "memory")
    if compute is None:
        return None
    memory = bandwidth * case.flops / case.traffic
    return Ceiling(compute, "compute") if compute <= memory else Ceiling(memory, "memory")


@dataclass(frozen=True, slots=True)
class Peaks:
    """The roofs of a machine's devices, by device; `tried` are those whose peaks were measured, or could not be."""

    roofs: Mapping[str, Roof]
    tried: frozenset[str] = frozenset()

    def roof(self, device: str) -> Roof:
        """Return a device's roof, an empty one where nothing is known."""
        return self.roofs.get(device, Roof({}, ()))

    def beside(self, environment: Mapping[str, Any]) -> Peaks:
        """Return these peaks with the datasheets that an environment holds beside them."""
        sheets = sheets_in(environment)
        known = {**self.roofs, **{name: replace(self.roof(name), sheet=sheets[name]) for name in sheets}}
        return Peaks(known, self.tried)

    def over_older(self, older: Peaks) -> Peaks:
        """Return these peaks, and the older ones of devices that these know nothing of."""
        kept = {name: roof for name, roof in older.roofs.items() if name not in self.tried}
        return Peaks({**kept, **self.roofs}, self.tried | older.tried)


def sheets_in(environment: Mapping[str, Any]) -> dict[str, Sheet]:
    """Return the datasheets that a run's environment holds, by device."""
    return {
        device: Sheet(
            flops=facts.get("flops") or {},
            bandwidth=facts.get("bandwidth"),
            boost_mhz=facts.get("boost_mhz"),
            source=facts.get("source", ""),
        )
        for device, facts in (environment.get("datasheets") or {}).items()
    }


def clock_of(measurement: Measurement) -> float | None:
    """Return the highest clock in MHz that a visit ran at, None where none was read."""
    return max(
        (clock for visit in measurement.visits if (clock := visit.conditions.get(CLOCK))), default=None
    )


def peaks_from(run: Run) -> Peaks:
    """Return the peaks that a run measured: the best of its variants for each dtype and each working set.

    A product faster than the datasheet allows is a mistake, and no peak.
    """
    flops: defaultdict[str, dict[str, float]] = defaultdict(dict)
    bandwidths: defaultdict[str, dict[int, float]] = defaultdict(dict)
    sheets = sheets_in(run.environment)
    for measurement in run.measurements:
        case, time = measurement.case, headline(measurement)
        if time is None:
            continue
        if case.op == _COMPUTE_OP:
            rate = case.flops / time.value
            sheet = sheets.get(case.device)
            if sheet is None or sheet.exceeded(rate, case.dtype, clock_of(measurement)) is None:
                _keep_best(flops[case.device], case.dtype, rate)
        elif case.op == _BANDWIDTH_OP:
            _keep_best(bandwidths[case.device], case.traffic, case.traffic / time.value)
    devices = sorted(flops.keys() | bandwidths.keys())
    measured = {name: Roof(flops[name], tuple(sorted(bandwidths[name].items()))) for name in devices}
    tried = frozenset(measurement.case.device for measurement in run.measurements)
    return Peaks(measured, tried).beside(run.environment)


def _keep_best(best: dict[Any, float], key: Any, rate: float) -> None:
    best[key] = max(rate, best.get(key, 0.0))


def find_peaks(store: Store, environment: Mapping[str, Any]) -> Peaks | None:
    """Return the peaks of the machine that an environment describes: each device's from its newest finished peaks run.

    The fingerprint must be the same: another machine, thread count or library version has other peaks.
    """
    fingerprint = (environment.get("machine") or {}).get("fingerprint")
    devices = {str(device.get("name")) for device in (environment.get("machine") or {}).get("devices") or ()}
    found: Peaks | None = None
    for summary in store.runs():
        if summary.name == PEAKS_CONFIG and summary.finished and summary.fingerprint == fingerprint:
            older = peaks_from(store.load(summary.id))
            found = older if found is None else found.over_older(older)
            if devices <= found.tried:
                break
    return None if found is None else found.beside(environment)
