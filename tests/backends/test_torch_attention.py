"""torch's attention by each of its back ends: which one computes, what is refused and why."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from dlbench.backends.backend import tensors_of
from dlbench.backends.torch import SPEC
from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier, WrongAnswerError
from dlbench.timing.clock import Call

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn.attention import SDPBackend
    from torch.profiler import ProfilerActivity, profile

    from dlbench.backends.torch import sdpa

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
GROUPED = Attention(batch=2, heads=4, kv_heads=2, seq_q=6, seq_k=6, dim=8, causal=True)
FLASH = "_scaled_dot_product_flash_attention_for_cpu"


@pytest.fixture(scope="module")
def backend() -> Any:
    return SPEC.load()("cpu", 1)


def prepared(backend: Any, problem: Problem, variant: str) -> tuple[Call, list[Any]]:
    tensors = tensors_of(backend, problem, problem.inputs())
    return backend.find(problem, variant).prepare(problem, *tensors), tensors


def operators_of(call: Call) -> set[str]:
    """The names of torch's operators in the call, those within others too."""
    with warnings.catch_warnings(), profile(activities=[ProfilerActivity.CPU]) as seen:
        warnings.simplefilter("ignore")
        call()
    return {event.name.removeprefix("aten::") for event in seen.events() or ()}


@pytest.mark.parametrize(
    ("variant", "direction", "there"),
    [
        ("library", "forward", {FLASH}),
        ("flash", "forward", {FLASH}),
        ("flash", "backward", {f"{FLASH}_backward"}),
        ("math", "forward", {"bmm", "_safe_softmax"}),
        ("math", "backward", {"bmm", "_softmax_backward_data"}),
        ("native", "forward", {"bmm", "_softmax"}),
        ("native", "backward", {"bmm", "_softmax_backward_data"}),
    ],
)
def test_a_variant_is_computed_by_its_own_operators(
    backend: Any, variant: str, direction: Direction, there: set[str]
) -> None:
    with backend.activate(variant):
        called = operators_of(prepared(backend, Problem(GROUPED, direction=direction), variant)[0])
    assert there <= called
    assert (FLASH in called, f"{FLASH}_backward" in called) == (FLASH in there, f"{FLASH}_backward" in there)


@pytest.mark.parametrize("variant", sdpa.ONLY_ON_CUDA)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_back_end_of_cudas_is_refused_on_a_processor(
    backend: Any, variant: str, direction: Direction
) -> None:
    with pytest.raises(UnsupportedError) as raised, backend.activate(variant):
        prepared(backend, Problem(GROUPED, direction=direction), variant)
    assert str(raised.value) == f"no `{variant}` on cpu: this back end of attention is CUDA's"


def test_a_back_end_is_not_prepared_where_torch_would_choose_another(backend: Any) -> None:
    with pytest.raises(UnsupportedError) as raised, backend.activate("library"):
        prepared(backend, Problem(GROUPED), "math")
    assert str(raised.value) == "torch has no `math` attention for this: it chooses FLASH_ATTENTION"


def refusing(*reasons: str) -> Any:
    """What torch does where it can choose none: it warns of each reason, and fails."""

    def choose(*_: Any, **__: Any) -> int:
        for reason in reasons:
            warnings.warn(f"{reason} (Triggered internally at /torch/sdp.cpp:1.)", UserWarning, stacklevel=1)
        raise RuntimeError("No available kernel. Aborting execution.")

    return choose


def test_torchs_reasons_are_told_without_those_of_what_was_switched_off(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "Memory efficient kernel not used because:",
        "Memory Efficient attention has been runtime disabled.",
        "Flash attention kernel not used because:",
        "Expected query, key and value to all be of dtype: {Half, BFloat16}.",
    )
    monkeypatch.setattr(sdpa, "_fused_sdp_choice", refusing(*said))
    with pytest.raises(UnsupportedError) as raised, backend.activate("flash"):
        prepared(backend, Problem(GROUPED), "flash")
    assert str(raised.value) == (
        "torch has no `flash` attention for this: "
        "Expected query, key and value to all be of dtype: {Half, BFloat16}."
    )


def test_where_torch_gives_no_reason_its_error_is_told(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdpa, "_fused_sdp_choice", refusing())
    with pytest.raises(UnsupportedError) as raised, backend.activate("flash"):
        prepared(backend, Problem(GROUPED), "flash")
    assert str(raised.value) == (
        "torch has no `flash` attention for this: No available kernel. Aborting execution."
    )


def switches() -> list[bool]:
    flags: Any = torch.backends.cuda
    return [
        flags.flash_sdp_enabled(),
        flags.mem_efficient_sdp_enabled(),
        flags.math_sdp_enabled(),
        flags.cudnn_sdp_enabled(),
    ]


@contextmanager
def unchanged() -> Iterator[None]:
    before = switches()
    yield
    assert switches() == before


@pytest.mark.parametrize(
    ("variant", "on"),
    [
        ("flash", [True, False, False, False]),
        ("efficient", [False, True, False, False]),
        ("math", [False, False, True, False]),
        ("cudnn", [False, False, False, True]),
    ],
)
def test_one_back_end_is_on_while_its_variant_is_active(backend: Any, variant: str, on: list[bool]) -> None:
    with unchanged(), backend.activate(variant):
        assert switches() == on


def test_the_back_ends_are_as_before_also_after_an_error(backend: Any) -> None:
    with unchanged(), pytest.raises(KeyError), backend.activate("flash"):
        raise KeyError


@pytest.mark.parametrize("variant", ["library", "native", "compiled"])
def test_every_back_end_is_on_for_the_other_variants(backend: Any, variant: str) -> None:
    with unchanged(), backend.activate(variant):
        assert all(switches())


def test_the_variants_are_torchs_back_ends() -> None:
    assert set(sdpa.BACK_ENDS) <= set(SPEC.variants)
    assert SDPBackend.ERROR not in sdpa.BACK_ENDS.values()


def test_no_key_is_copied_for_the_queries_that_share_it(backend: Any) -> None:
    with backend.activate("native"):
        called = operators_of(prepared(backend, Problem(GROUPED), "native")[0])
    assert not called & {"clone", "repeat", "repeat_interleave"}


def test_a_mask_of_queries_that_hides_a_key_too_few_is_found_by_verification(backend: Any) -> None:
    problem = Problem(GROUPED)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    q, k, v = tensors
    hidden = torch.ones(6, 6, dtype=torch.bool).triu_(2)

    def call() -> Any:
        keys, values = (one.repeat_interleave(2, dim=1) for one in (k, v))
        scores = (q @ keys.mT * GROUPED.scale).masked_fill(hidden, float("-inf"))
        return torch.softmax(scores, -1) @ values

    with pytest.raises(WrongAnswerError, match="output o is "):
        Verifier(problem, inputs).check(backend, tensors, call)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("variant", ["library", "flash", "math", "native"])
def test_the_variants_pass_a_verification_by_samples(
    backend: Any, monkeypatch: pytest.MonkeyPatch, variant: str, direction: Direction
) -> None:
    monkeypatch.setattr("dlbench.runner.verify.WHOLE_REFERENCE", 0)
    op = Attention(batch=2, heads=4, kv_heads=2, seq_q=40, seq_k=40, dim=16, causal=True)
    problem = Problem(op, "float64", direction)
    inputs = problem.inputs()
    with backend.activate(variant):
        call, tensors = prepared(backend, problem, variant)
        error = Verifier(problem, inputs).check(backend, tensors, call)
    assert error < np.finfo(np.float64).eps * 1000
