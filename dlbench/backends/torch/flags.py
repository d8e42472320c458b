"""torch's flags that change speed or precision: set for one case, and afterwards as they were."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

ONEDNN: Any = torch.backends.mkldnn  # properties of modules, which the types do not know
CUDNN: Any = torch.backends.cudnn
NNPACK: Any = torch.backends.nnpack
MATMUL: Any = torch.backends.cuda.matmul

HALF_SUMS = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
"""Whether cuBLAS may add up partial sums of 16-bit products in 16 bits; torch's default is that it may."""
HALF_ACCUMULATION = "allow_fp16_accumulation"
"""Whether cuBLAS may accumulate a float16 product in float16 (torch 2.7 and newer); torch's default is that it may not."""


@contextmanager
def switched(*, native: bool, tf32: bool, benchmark: bool) -> Iterator[None]:
    """Set all flags for one case, and restore them at the end.

    Autograd is off. TF32 is on where the case's dtype says so and off otherwise, for products (torch's default: off) and
    convolutions (torch's default: on) alike. 16-bit products are accumulated in float32 to the end, which torch's default
    does not ask of cuBLAS: the dtypes are defined, and the tolerance is worked out, for that.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(_float32_products(tf32))
        stack.enter_context(_sums_in_float32())
        stack.enter_context(_set(CUDNN, "benchmark", benchmark))
        if native:
            stack.enter_context(_without_libraries())
        yield


def told() -> dict[str, str]:
    """Return the flags by name, as they are now."""
    return {
        "onednn enabled": str(ONEDNN.enabled),
        "nnpack available": str(torch.backends.nnpack.is_available()),  # type: ignore[no-untyped-call]
        "float32 matmul precision": _readable(torch.get_float32_matmul_precision),
        "cudnn enabled": str(CUDNN.enabled),
        "cudnn.benchmark": str(CUDNN.benchmark),
        "tf32 in matmul": _readable(lambda: MATMUL.allow_tf32),
        "tf32 in conv": _readable(lambda: CUDNN.allow_tf32),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "cudnn.deterministic": str(CUDNN.deterministic),
    } | {name: str(getattr(MATMUL, name)) for name in (*HALF_SUMS, HALF_ACCUMULATION) if _has(MATMUL, name)}


@contextmanager
def _set(target: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


@contextmanager
def _float32_products(tf32: bool) -> Iterator[None]:
    """Say how float32 is multiplied, in both of torch's ways to say it.

    Since 2.9 there are two. Whichever is set alone, reading the other raises an error, and torch.compile reads both; the
    older one, set first, sets the newer one too, which then only has to be pinned against what stands above it.
    """
    restore = _float32_state()
    try:
        with _quietly():
            MATMUL.allow_tf32 = CUDNN.allow_tf32 = tf32
            for precision in _precisions():
                precision.fp32_precision = "tf32" if tf32 else "ieee"
        yield
    finally:
        with _quietly():
            restore()


def _float32_state() -> Callable[[], None]:
    """Return what brings back how float32 is multiplied now.

    The older way is left out where it cannot be read, because a program has set the newer one alone.
    """
    holders = (*_precisions(), *([ONEDNN.matmul] if _has(ONEDNN, "matmul") else []))
    newer = [(holder, holder.fp32_precision) for holder in holders]
    with _quietly():
        products, convolutions = _read(torch.get_float32_matmul_precision), _read(lambda: CUDNN.allow_tf32)

    def restore() -> None:
        if products is not None:
            torch.set_float32_matmul_precision(products)  # sets oneDNN's as well
        if convolutions is not None:
            CUDNN.allow_tf32 = convolutions
        for holder, precision in newer:
            holder.fp32_precision = precision

    return restore


def _precisions() -> tuple[Any, ...]:
    """Return what has an attribute `fp32_precision`; nothing before torch 2.9."""
    if not _has(MATMUL, "fp32_precision"):
        return ()
    return MATMUL, CUDNN.conv, CUDNN.rnn


@contextmanager
def _sums_in_float32() -> Iterator[None]:
    """Forbid 16-bit sums; whether a sum may be split, which the same flags hold, stays torch's default."""
    names = [name for name in HALF_SUMS if _has(MATMUL, name)]
    before = [(name, _half_sums(name)) for name in names]
    with ExitStack() as stack:
        if _has(MATMUL, HALF_ACCUMULATION):
            stack.enter_context(_set(MATMUL, HALF_ACCUMULATION, False))
        for name, value in before:
            stack.callback(setattr, MATMUL, name, value)
            setattr(MATMUL, name, False)
        yield


def _half_sums(name: str) -> Any:
    """Return a flag as it is set: newer versions hold a second one with it, whether the sum may be split."""
    split = f"{name}_split_k"
    return (getattr(MATMUL, name), getattr(MATMUL, split)) if _has(MATMUL, split) else getattr(MATMUL, name)


@contextmanager
def _without_libraries() -> Iterator[None]:
    """Turn off oneDNN, NNPACK (which takes over some convolutions of 16 images or more), and cuDNN or MIOpen.

    Not by their `flags` context managers, which set the TF32 and precision flags as well.
    """
    before = ONEDNN.enabled, CUDNN.enabled
    (nnpack_before,) = NNPACK.set_flags(False)
    ONEDNN.enabled = CUDNN.enabled = False
    try:
        yield
    finally:
        ONEDNN.enabled, CUDNN.enabled = before
        NNPACK.set_flags(nnpack_before)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back the warning of some versions that the older way to say it will go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _has(holder: Any, name: str) -> bool:
    """Return whether this version of torch has the flag."""
    try:
        getattr(holder, name)
    except (AttributeError, AssertionError):
        return False
    return True


def _read(ask: Callable[[], Any]) -> Any:
    """Return what is asked for, None where torch says that its two ways to set it disagree."""
    try:
        return ask()
    except RuntimeError:
        return None


def _readable(ask: Callable[[], Any]) -> str:
    value = _read(ask)
    return "set in two ways that disagree" if value is None else str(value)
