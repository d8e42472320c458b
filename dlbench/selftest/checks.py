"""Judge what a self-test has measured: numbers in, a judgement out, nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dlbench.results.finding import State
from dlbench.units import format_duration, significant

AGREEMENT = 0.05
"""Share by which the device's and the host's time of one long batch may differ: the host's has a launch and a wait more,
microseconds of tens of milliseconds."""
PROFILE_AGREEMENT = 0.1
"""Events and a profiler: the events also see the gaps between kernels, and the profiler's batch is another one."""
GROWTH = 0.8
"""FLOP/s of a larger product over the best of the smaller ones, at least. Chosen: libraries change kernels between sizes,
and a board that works hard lowers its clock."""
LEAST_BANDWIDTH = 0.4
"""Of the datasheet's. Chosen: well below what a copy reaches, above what a wrong device or unit would show."""
COLDER = 1.1
"""How much longer a copy takes out of memory than out of the cache, at least. Chosen."""
HIGHEST_FLOOR = 20e-6
"""Seconds between two marks with nothing in between, at most. Chosen: several times what a mark costs."""
GRAPH_SLACK = 1.1
"""Time of a call in a graph over that of an eager call, at most. Chosen: a graph saves launches and adds nothing."""
SHOWN = 3
"""Failures or reasons written out; of more the count."""

_CLOCK = "do not trust times of this backend; other work on the device or a debugging tool (CUDA_LAUNCH_BLOCKING) does this"


class Judged(NamedTuple):
    """What a check comes to."""

    state: State
    detail: str
    advice: str = ""


@dataclass
class Answers:
    """How the answers of a variant's implementations compared with the references."""

    right: int = 0
    unsupported: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def answers(found: Answers) -> Judged:
    """Fail where an answer was wrong or an error was raised; what is unsupported is told."""
    refused = found.unsupported.total()
    detail = f"{found.right} right" + (f", {refused} unsupported" if refused else "")
    if found.wrong:
        return Judged(
            "failed",
            f"{len(found.wrong)} wrong, {detail}: {_listed(found.wrong)}",
            "do not trust this variant here: update the framework and the driver, and report it if that does not help",
        )
    if refused:
        detail += f" ({_listed([reason for reason, _ in found.unsupported.most_common()])})"
    return Judged("passed" if found.right else "skipped", detail)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def against_host(device: float, host: float, hides: str = "") -> Judged:
    """Compare the seconds of one batch by the device's marks and by the host's clock.

    `hides` is why the clock itself did not believe its marks, empty where it did; a plain product gives it no reason to.
    """
    if hides:
        return Judged("failed", f"the marks around a plain product are not believed ({hides})", _CLOCK)
    detail = f"{format_duration(device)} by events, {format_duration(host)} by the host's clock"
    if abs(device / host - 1) <= AGREEMENT:
        return Judged("passed", detail)
    return Judged("failed", f"{detail}: more than {AGREEMENT:.0%} apart", _CLOCK)


def against_profiler(device: float, kernels: float | None) -> Judged:
    """Compare the seconds of one batch by the device's marks and by a profiler's sum over kernels."""
    if not kernels:
        return Judged("skipped", "the framework has no profiler, or it saw no kernel")
    detail = f"{format_duration(device)} by events, {format_duration(kernels)} by the profiler"
    if abs(device / kernels - 1) <= PROFILE_AGREEMENT:
        return Judged("passed", detail)
    return Judged("failed", f"{detail}: more than {PROFILE_AGREEMENT:.0%} apart", _CLOCK)


def growth(rates: Mapping[int, float]) -> Judged:
    """Judge FLOP/s of square products by their side, in rising order: none falls far below a smaller one."""
    if len(rates) < 2:
        return Judged("skipped", "a second size would take too long here")
    best = 0.0
    for side, rate in rates.items():
        if rate < GROWTH * best:
            return Judged(
                "failed",
                f"{side}×{side}×{side} reaches {_rate(rate)}, {rate / best:.0%} of a smaller product's {_rate(best)} "
                f"(at least {GROWTH:.0%} expected)",
                "the device may be slowed down by heat, its power limit or other work; try again when it is idle and cool",
            )
        best = max(best, rate)
    told = ", ".join(f"{side}: {_rate(rate)}" for side, rate in rates.items())
    return Judged("passed", f"{told} (each at least {GROWTH:.0%} of the best before)")


def _rate(rate: float) -> str:
    return f"{significant(rate / 1e12)} TFLOP/s" if rate >= 1e12 else f"{significant(rate / 1e9)} GFLOP/s"


def on_a_processor(judged: Judged) -> Judged:
    """Return a failed comparison of times as a warning: other programs disturb a processor, and share its caches."""
    return judged._replace(state="warned") if judged.state == "failed" else judged


def bandwidth(measured: float, stated: float | None, board: str) -> Judged:
    """Compare a copy's bytes per second with the datasheet's of the board."""
    detail = f"a copy moves {measured / 1e9:.0f} GB/s"
    if stated is None:
        return Judged("skipped", f"{detail}; no datasheet of this device is known")
    share = measured / stated
    detail += f", {share:.0%} of the {stated / 1e9:.0f} GB/s that {board} is stated to have"
    if share >= 1:
        return Judged("failed", detail, "times are too short, or this is another board than its name says")
    if share <= LEAST_BANDWIDTH:
        return Judged(
            "failed",
            f"{detail} (more than {LEAST_BANDWIDTH:.0%} expected)",
            "look for other work on the device and for a lowered memory clock",
        )
    return Judged("passed", detail)


def flush(cold: float, hot: float) -> Judged:
    """Compare the seconds of a copy that fits into the cache after a flush, and right after itself.

    The second is a difference of times: where it is nothing, it says nothing of the cache.
    """
    if hot <= 0:
        return Judged(
            "failed",
            "several copies in a row took no longer than one: times vary too much to tell cold from hot",
            "try again when the device is idle",
        )
    detail = (
        f"a copy takes {format_duration(max(cold, 0.0))} after a flush, {format_duration(hot)} after itself"
    )
    if cold > COLDER * hot:
        return Judged("passed", detail)
    return Judged(
        "failed",
        f"{detail}: at least {COLDER} times as long expected",
        "do not trust cold times here: the cache is larger than it says, or shared with others",
    )


def floor(seconds: float) -> Judged:
    """Judge the seconds between two marks with nothing in between."""
    detail = f"{format_duration(seconds)} between two marks with nothing in between"
    if seconds < HIGHEST_FLOOR:
        return Judged("passed", detail)
    return Judged(
        "failed",
        f"{detail}, {format_duration(HIGHEST_FLOOR)} at most expected",
        "times of small kernels are mostly this; a debugger, a profiler or a virtual machine does it",
    )


def graph(replayed: float, eager: float) -> Judged:
    """Compare the seconds of a call inside a graph and of one launched by itself."""
    detail = f"a small product takes {format_duration(replayed)} in a graph, {format_duration(eager)} launched by itself"
    if replayed <= GRAPH_SLACK * eager:
        return Judged("passed", detail)
    return Judged("failed", f"{detail}: slower", "measure with launch: eager, and update the driver")


def board(identity: str, name: str | None, throttled: str, others: Sequence[str]) -> Judged:
    """Judge how the driver's management library shows the device: found, not slowed down, and ours alone.

    `identity` is the UUID or PCI address that the framework tells, empty where it does not; `name` None where not found.
    """
    if not identity:
        return Judged(
            "skipped", "the framework does not tell which board this is: its clocks are not watched"
        )
    if name is None:
        return Judged(
            "failed",
            f"NVIDIA's management library (NVML) shows no board {identity}",
            "throttling cannot be seen: check that nvidia-smi works here, inside the container",
        )
    if throttled:
        return Judged("failed", f"{name} is slowed down: {throttled}")
    if others:
        return Judged(
            "warned",
            f"{name} is also used by {_listed(others)}",
            "end the other processes before measuring; in a container one without a name may be this very process",
        )
    return Judged("passed", f"{name} ({identity}), not slowed down, no other processes")
