from __future__ import annotations

from types import ModuleType

import pytest

from dlbench.backends.backend import BackendSpec, collect, implements
from dlbench.backends.catalogue import backends
from dlbench.backends.numba import SPEC as NUMBA
from dlbench.backends.numpy import SPEC as NUMPY
from dlbench.errors import BackendMissingError, UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

PRODUCT = Problem(Matmul(m=2, n=2, k=2))


@implements("matmul", variant="mine")
@implements("matmul", variant="yours", dtypes=("float16",))
def product(problem: Problem) -> Call:
    return lambda: None


def test_the_built_in_backends_are_found_by_name() -> None:
    assert {"numba", "numpy", "torch"} <= set(backends())


def test_a_found_implementation_is_the_one_that_was_asked_for() -> None:
    found = NUMPY.load().find(
        Problem(Conv2d(c=1, h=3, w=3, k=1, r=1, s=1), direction="backward_weight"), "im2col"
    )
    assert (found.op, found.variant, found.directions) == ("conv2d", "im2col", ("backward_weight",))


def test_a_variant_that_lacks_an_op_is_told_with_those_that_have_it() -> None:
    with pytest.raises(UnsupportedError) as raised:
        NUMPY.load().find(PRODUCT, "im2col")
    assert str(raised.value) == "numpy does not compute matmul as `im2col`; it has library"


def test_a_dtype_that_a_variant_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(UnsupportedError) as raised:
        NUMBA.load().find(Problem(PRODUCT.op, "bfloat16"), "naive")
    assert str(raised.value) == "numba:naive has no bfloat16: computes float32, float64"


def test_a_direction_that_a_variant_lacks_is_told_with_those_it_has() -> None:
    with pytest.raises(UnsupportedError) as raised:
        NUMBA.load().find(Problem(PRODUCT.op, direction="backward"), "naive")
    assert str(raised.value) == "numba:naive has no direction backward: computes forward"


def test_a_missing_framework_is_told_with_the_install_command() -> None:
    spec = BackendSpec("absent", "no_such_module", "X", "absent", "pip install absent", {})
    with pytest.raises(BackendMissingError, match=r"absent cannot be imported .*; pip install absent"):
        spec.load()


def test_a_module_gives_its_own_functions_and_no_imported_ones() -> None:
    theirs = ModuleType("theirs")
    theirs.product = product  # type: ignore[attr-defined]
    ours = ModuleType(__name__)
    ours.product = product  # type: ignore[attr-defined]
    ours.other = 3  # type: ignore[attr-defined]
    assert collect(theirs) == ()
    assert [one.prepare for one in collect(ours)] == [product, product]


def test_a_function_may_be_several_variants() -> None:
    ours = ModuleType(__name__)
    ours.product = product  # type: ignore[attr-defined]
    assert [(one.variant, one.dtypes) for one in collect(ours)] == [
        ("yours", ("float16",)),
        ("mine", ("float32", "float64")),
    ]
