"""Any run that can be stored, for property tests."""

from __future__ import annotations

import json
from typing import Any, get_args

from hypothesis import strategies as st

from dlbench.results.measurement import CaseRecord, Measurement, Run, Verdict, Visit

INT64 = 2**63 - 1
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SECONDS = st.floats(1e-9, 1e3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=3)
VERDICTS = st.sampled_from(get_args(Verdict))
MOMENTS = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))


@st.composite
def visits(draw: st.DrawFn) -> tuple[Visit, ...]:
    """Return the visits of one case, a round at most once each."""
    rounds = sorted(draw(st.sets(st.integers(1, 20), max_size=3)))
    return tuple(
        Visit(
            round=number,
            samples=tuple(draw(st.lists(SECONDS, max_size=5))),
            calls=draw(st.integers(0, INT64)),
            disturbed=draw(st.integers(0, 9)),
            verdict=draw(VERDICTS),
            reason=draw(TEXT),
            max_rel_error=draw(st.none() | NUMBERS),
            peak_memory=draw(st.none() | st.integers(0, INT64)),
            duration=draw(st.floats(0, 1e6)),
            conditions=draw(JSON_OBJECTS),
        )
        for number in rounds
    )


@st.composite
def measurements(draw: st.DrawFn, key: str) -> Measurement:
    """Return a measurement of the case with that key; its FLOPs and bytes may pass 64 bits."""
    text: dict[str, Any] = {
        name: draw(TEXT)
        for name in (
            "op",
            "problem",
            "suite",
            "layer",
            "dtype",
            "direction",
            "layout",
            "flags",
            "data",
            "backend",
            "variant",
        )
    }
    case = CaseRecord(
        **text,
        key=key,
        group=draw(st.sampled_from(["a", "b"])),
        params=json.dumps(draw(JSON_OBJECTS)),
        count=draw(st.integers(0, INT64)),
        cache=draw(st.sampled_from(["hot", "cold"])),
        device=draw(st.sampled_from(["cpu", "cuda:0"])),
        baseline=f"{text['backend']}:{text['variant']}" if draw(st.booleans()) else "",
        flops=draw(st.integers(0, 10**30)),
        traffic=draw(st.integers(0, 10**30)),
        parameters=draw(st.integers(0, INT64)),
        activations=draw(st.integers(0, INT64)),
    )
    return Measurement(case, draw(visits()), draw(VERDICTS), draw(TEXT))


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Return a finished run."""
    keys = draw(st.lists(TEXT, unique=True, max_size=4))
    return Run(
        id=draw(TEXT.filter(bool)),
        name=draw(TEXT),
        config=draw(JSON_OBJECTS),
        environment=draw(JSON_OBJECTS),
        started=draw(MOMENTS),
        finished=draw(MOMENTS),
        elapsed=draw(st.floats(0, 1e6)),
        measurements=tuple(draw(measurements(key)) for key in keys),
    )
