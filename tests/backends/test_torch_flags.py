"""The flags that torch's answers and speed depend on, as they really are on a build for processors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dlbench.backends.torch.backend import TorchBackend
from dlbench.backends.torch.flags import HALF_ACCUMULATION, HALF_SUMS, switched, told
from dlbench.errors import UnsupportedError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

CUDNN: Any = torch.backends.cudnn
MATMUL: Any = torch.backends.cuda.matmul
ONEDNN: Any = torch.backends.mkldnn
GENERIC: Any = torch.backends
BOTH_WAYS = pytest.mark.skipif(
    not hasattr(MATMUL, "fp32_precision"), reason="torch before 2.9 has one way to say it"
)


def state() -> dict[str, object]:
    """Everything about precision that can be read, in both of torch's ways."""
    return {
        "products": readable(torch.get_float32_matmul_precision),
        "products tf32": readable(lambda: MATMUL.allow_tf32),
        "convolutions tf32": readable(lambda: CUDNN.allow_tf32),
        "products, newer": MATMUL.fp32_precision,
        "convolutions, newer": CUDNN.conv.fp32_precision,
        "recurrent, newer": CUDNN.rnn.fp32_precision,
        "onednn": ONEDNN.matmul.fp32_precision,
        "benchmark": CUDNN.benchmark,
        "deterministic": CUDNN.deterministic,
        **{name: getattr(MATMUL, name) for name in (*HALF_SUMS, HALF_ACCUMULATION)},
        **{f"{name} split": getattr(MATMUL, f"{name}_split_k") for name in HALF_SUMS},
    }


def readable(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except RuntimeError:
        return "disagree"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a user's program sets here is gone afterwards."""
    precision = torch.get_float32_matmul_precision()
    convolutions, benchmark = CUDNN.allow_tf32, CUDNN.benchmark
    newer = [(one, one.fp32_precision) for one in (MATMUL, CUDNN.conv, CUDNN.rnn, ONEDNN.matmul, GENERIC)]
    sums = [(name, (getattr(MATMUL, name), getattr(MATMUL, f"{name}_split_k"))) for name in HALF_SUMS]
    yield
    torch.set_float32_matmul_precision(precision)
    CUDNN.allow_tf32, CUDNN.benchmark = convolutions, benchmark
    for holder, value in newer:
        holder.fp32_precision = value
    for name, values in sums:
        setattr(MATMUL, name, values)
    MATMUL.allow_fp16_accumulation = False


@pytest.mark.parametrize(("tf32", "newer"), [(True, "tf32"), (False, "ieee")])
def test_tf32_is_what_the_dtype_says_for_products_and_convolutions(tf32: bool, newer: str) -> None:
    with switched(native=False, tf32=tf32, benchmark=False):
        inside = state()
    assert inside["products tf32"] is inside["convolutions tf32"] is tf32
    assert {inside[f"{what}, newer"] for what in ("products", "convolutions", "recurrent")} == {newer}


@pytest.mark.parametrize("tf32", [True, False])
def test_both_of_torchs_ways_to_say_it_can_be_read(tf32: bool) -> None:
    """torch.compile reads the older one, which raises an error where the newer one was set alone."""
    with switched(native=False, tf32=tf32, benchmark=False):
        assert "disagree" not in state().values()


def test_a_setting_for_everything_does_not_turn_tf32_on() -> None:
    GENERIC.fp32_precision = "tf32"
    with switched(native=False, tf32=False, benchmark=False):
        assert (MATMUL.fp32_precision, CUDNN.conv.fp32_precision) == ("ieee", "ieee")


USERS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "convolutions off": lambda: setattr(CUDNN, "allow_tf32", False),
    "the newer way alone": lambda: setattr(MATMUL, "fp32_precision", "tf32"),
    "convolutions in the newer way": lambda: setattr(CUDNN.conv, "fp32_precision", "ieee"),
    "everything": lambda: setattr(GENERIC, "fp32_precision", "ieee"),
    "benchmark": lambda: setattr(CUDNN, "benchmark", True),
    "16-bit sums forbidden": lambda: setattr(MATMUL, HALF_SUMS[0], (False, False)),
    "16-bit accumulation": lambda: setattr(MATMUL, HALF_ACCUMULATION, True),
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_what_the_user_had_set_is_set_again_even_after_an_error(user: Callable[[], None]) -> None:
    user()
    before = state()
    with pytest.raises(ZeroDivisionError), switched(native=True, tf32=False, benchmark=False):
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.parametrize("user", ["nothing", "high", "medium", "convolutions off", "benchmark"])
def test_what_the_user_had_set_is_set_again_after_tf32(user: str) -> None:
    USERS[user]()
    before = state()
    with switched(native=False, tf32=True, benchmark=True):
        assert state() != before
    assert state() == before


def test_16_bit_products_are_summed_in_float32_and_may_be_split() -> None:
    with switched(native=False, tf32=False, benchmark=False):
        inside = state()
    assert [inside[name] for name in (*HALF_SUMS, HALF_ACCUMULATION)] == [False, False, False]
    assert [inside[f"{name} split"] for name in HALF_SUMS] == [True, True]


@pytest.mark.parametrize(
    ("flags", "benchmark"), [((), False), (("cudnn.benchmark",), True), (("graph",), False)]
)
def test_cudnn_tries_its_algorithms_only_where_the_case_says_so(
    flags: tuple[str, ...], benchmark: bool
) -> None:
    CUDNN.benchmark = not benchmark
    with TorchBackend("cpu", torch.get_num_threads()).activate("library", flags=flags):
        assert CUDNN.benchmark is benchmark
    assert CUDNN.benchmark is not benchmark


def test_a_processor_has_no_tf32() -> None:
    backend = TorchBackend("cpu", torch.get_num_threads())
    before = state()
    with pytest.raises(UnsupportedError) as raised, backend.activate("library", dtype="tf32"):
        pass
    assert str(raised.value) == "no tf32 on a cpu: it is a format of NVIDIA's tensor cores (Ampere and newer)"
    assert state() == before


def test_the_flags_are_told_as_a_case_finds_them() -> None:
    told_in_environment = TorchBackend("cpu", torch.get_num_threads()).environment()
    assert told_in_environment["tf32 in conv"] == told_in_environment["tf32 in matmul"] == "False"
    assert {told_in_environment[name] for name in HALF_SUMS} == {"False"}
    assert told_in_environment["cudnn.benchmark"] == "False"


def test_flags_that_disagree_are_told_so() -> None:
    MATMUL.fp32_precision = "tf32"
    assert told()["tf32 in matmul"] == "set in two ways that disagree"
