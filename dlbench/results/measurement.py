"""The Measurement, the Run, and the columns of the table they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal[
    "ok", "noisy", "unconverged", "throttled", "suspect", "incorrect",
    "unsupported", "out_of_memory", "timeout", "crashed", "failed",
]  # fmt: skip
FAILURES: frozenset[Verdict] = frozenset(
    {"incorrect", "unsupported", "out_of_memory", "timeout", "crashed", "failed"}
)
"""Verdicts of a case that has no time."""

INTERLEAVED = "interleaved"
"""The kind of a session whose runs took turns, as their environment has it under `session`."""
TURNS = "turns"
"""The condition of a visit that says how many samples each of its turns gave, in their order."""
ITEMS, FLOPS, BYTES, COUNTERS = "items", "flops", "bytes", "counters"
"""The conditions of a visit in which a benchmark of the user's own tells what one iteration works through, and counts."""
COMPLEXITY = "complexity"
"""The condition that names the argument over which such a benchmark's time is expected to grow."""
PRINTED = "printed"
"""The condition that says what the user's own code wrote to the standard output: the first line."""

Kind = Literal["text", "integer", "number", "json"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table, for every reader: exports, console and docs."""

    name: str
    kind: Kind
    unit: str
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("run", "text", "", "the run's id"),
    Column("op", "text", "", "what is computed"),
    Column("problem", "text", "", "the op with its parameters, as a reader writes it"),
    Column("params", "json", "", "the op's parameters"),
    Column("suite", "text", "", "the list of real problems that this one comes from"),
    Column("layer", "text", "", "its name in the suite"),
    Column("count", "integer", "", "how often it occurs in the suite"),
    Column("dtype", "text", "", "number format of inputs and outputs"),
    Column("direction", "text", "", "forward, backward_data, backward_weight, backward or forward_backward"),
    Column("layout", "text", "", "order of the axes in memory, where the op has a choice"),
    Column(
        "cache", "text", "", "hot: back-to-back calls; cold: the last-level cache is overwritten before each"
    ),
    Column("data", "text", "", "distribution of the random inputs"),
    Column("backend", "text", "", "the framework"),
    Column("variant", "text", "", "the way in which the framework computes the op"),
    Column(
        "flags",
        "text",
        "",
        "out of the ordinary in how it was called: cudnn.benchmark, graph (replayed), all-plans",
    ),
    Column("device", "text", "", "where it ran"),
    Column(
        "time_us",
        "number",
        "µs",
        "headline time of one call: the low quantile of the pooled samples on a CPU, their median on an accelerator",
    ),
    Column("time_low_us", "number", "µs", "lower end of its 95 % interval"),
    Column("time_high_us", "number", "µs", "upper end of its 95 % interval"),
    Column("median_us", "number", "µs", "median of the rounds' medians"),
    Column("host_us", "number", "µs", "the host's time to issue one call, on an accelerator"),
    Column("gflops", "number", "GFLOP/s", "10⁹ counted operations per second, from time_us"),
    Column("gbps", "number", "GB/s", "10⁹ compulsory bytes per second, from time_us"),
    Column(
        "items_per_s", "number", "1/s", "items that a benchmark of the user's own works through, from time_us"
    ),
    Column("intensity", "number", "FLOP/B", "counted operations per compulsory byte"),
    Column("peak_pct", "number", "%", "share of the measured roof at that intensity"),
    Column("datasheet_pct", "number", "%", "share of the datasheet's roof at that intensity"),
    Column("bound", "text", "", "which roof is lower there: compute or memory"),
    Column("speedup", "number", "×", "the baseline's time over this time"),
    Column("speedup_low", "number", "×", "lower end of its 95 % interval, from paired rounds"),
    Column("speedup_high", "number", "×", "upper end of its 95 % interval"),
    Column("parameters", "integer", "", "numbers that training sets: a network's weights and biases"),
    Column("activations", "integer", "", "numbers that a network's products put out in one forward pass"),
    Column("peak_memory_mib", "number", "MiB", "most memory held at once: inputs, outputs and workspace"),
    Column("energy_j", "number", "J", "energy of one call, of the whole board"),
    Column("gflop_per_j", "number", "GFLOP/J", "10⁹ counted operations per joule"),
    Column(
        "max_rel_error",
        "number",
        "",
        "largest error against the float64 reference, over the reference's root mean square",
    ),
    Column("counters", "json", "", "numbers that a benchmark of the user's own counts"),
    Column("samples", "integer", "", "timed batches of calls"),
    Column("rounds", "integer", "", "fresh processes that were sampled"),
    Column("verdict", "text", "", "ok, or what is wrong"),
    Column("reason", "text", "", "why, for every verdict but ok"),
)


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A case as it is kept: plain values, so that reading results needs no op and no framework.

    `key` identifies the case, `group` those that were sampled in turn with it; `flops` and `traffic` (bytes)
    are those of one call; `baseline` is `backend:variant` or empty; `flags` say what is out of the ordinary in how the
    calls were made, such as `cudnn.benchmark` or `graph`, with spaces between. `parameters` and `activations` are a
    network's size, 0 for what has none.
    """

    key: str
    group: str
    op: str
    problem: str
    params: str
    suite: str
    layer: str
    count: int
    dtype: str
    direction: str
    layout: str
    cache: str
    data: str
    backend: str
    variant: str
    device: str
    baseline: str
    flops: int
    traffic: int
    flags: str = ""
    parameters: int = 0
    activations: int = 0

    @property
    def implementation(self) -> str:
        """The variant as it is written, `backend:variant`."""
        return f"{self.backend}:{self.variant}"


@dataclass(frozen=True, slots=True)
class Visit:
    """What one round saw of one case.

    `samples` are seconds per call, one per timed batch, in the order taken; `calls` is the batch size.
    `disturbed` counts the samples that something else on the machine visibly disturbed. `conditions` holds
    what was read beside the samples (load, context switches, steal), as JSON-able values.
    """

    round: int
    samples: tuple[float, ...] = ()
    calls: int = 0
    disturbed: int = 0
    verdict: Verdict = "ok"
    reason: str = ""
    max_rel_error: float | None = None
    peak_memory: int | None = None
    duration: float = 0.0
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A case's samples by round, and the verdict over all of them.

    `verdict` and `reason` are what the runner concluded; one of FAILURES where a visit failed.
    """

    case: CaseRecord
    visits: tuple[Visit, ...] = ()
    verdict: Verdict = "ok"
    reason: str = ""

    @property
    def rounds(self) -> tuple[tuple[float, ...], ...]:
        """The samples of every round that has any."""
        return tuple(visit.samples for visit in self.visits if visit.samples)


@dataclass(frozen=True, slots=True)
class Run:
    """A config's measurements and the environment they were taken in.

    `config` is the validated config as JSON-able values; `started` and `finished` are ISO 8601 in UTC,
    `finished` empty while the run is unfinished; `elapsed` is the measuring time so far in seconds, over all
    resumptions.
    """

    id: str
    name: str
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    started: str
    finished: str = ""
    elapsed: float = 0.0
    measurements: tuple[Measurement, ...] = ()
