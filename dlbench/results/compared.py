"""The columns of a comparison; the first thirteen are the contract of every export."""

from __future__ import annotations

from dlbench.results.measurement import Column

CONTRACT: tuple[Column, ...] = (
    Column("op", "text", "", "what is computed"),
    Column("problem", "text", "", "the op with its parameters, as a reader writes it"),
    Column("dtype", "text", "", "number format of inputs and outputs; `a → b` where these are compared"),
    Column("direction", "text", "", "forward, backward_data, backward_weight, backward or forward_backward"),
    Column(
        "cache", "text", "", "hot: back-to-back calls; cold: the last-level cache is overwritten before each"
    ),
    Column("backend", "text", "", "the framework; `a → b` where these are compared"),
    Column(
        "variant",
        "text",
        "",
        "the way in which the framework computes the op; `a → b` where these are compared",
    ),
    Column("device", "text", "", "where it ran; `a → b` where these are compared"),
    Column("ratio", "number", "×", "the base's time over the other's: above 1 where the other is faster"),
    Column("ratio_low", "number", "×", "lower end of its 95 % interval over rounds"),
    Column("ratio_high", "number", "×", "upper end of its 95 % interval"),
    Column("verdict", "text", "", "faster, slower, same or inconclusive: what the other is against the base"),
    Column("reason", "text", "", "why, where the ratio and its interval do not tell"),
)
COMPARED: tuple[Column, ...] = (
    *CONTRACT,
    Column("suite", "text", "", "the list of real problems that this one comes from"),
    Column("layer", "text", "", "its name in the suite"),
    Column("data", "text", "", "distribution of the random inputs"),
    Column("layout", "text", "", "order of the axes in memory; `a → b` where these are compared"),
    Column("flags", "text", "", "out of the ordinary in how it was called; `a → b` where these are compared"),
    Column("base", "text", "", "what is compared with"),
    Column("other", "text", "", "what is compared"),
    Column(
        "base_us", "number", "µs", "the base's time of one call: geometric mean over the rounds that count"
    ),
    Column("other_us", "number", "µs", "the other's"),
    Column(
        "base_rounds", "integer", "", "rounds of the base that count; of paired ones, those that both have"
    ),
    Column("other_rounds", "integer", "", "rounds of the other that count"),
    Column("base_verdict", "text", "", "the measured case's own verdict on the base"),
    Column("other_verdict", "text", "", "and on the other side"),
    Column("floor", "number", "", "noise floor at this time, a fraction: a smaller change is none"),
)
