"""Among equal numbers any order is right, but where the op says which; whole numbers and zeros are full of them."""

from __future__ import annotations

import pytest

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import Backend, Implementation, tensors_of
from dlbench.ops.op import Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Argmax
from dlbench.ops.sorting import Argsort, Nms, Topk
from dlbench.runner.verify import Verifier

OPS: dict[str, Op] = {
    op.name: op
    for op in (Topk(rows=9, cols=65, k=33), Argsort(rows=9, cols=65), Argmax(rows=9, cols=65), Nms(n=99))
}
FOUND = [
    (spec.load(), one)
    for spec in (numba.SPEC, numpy.SPEC, torch.SPEC)
    for one in spec.load().implementations()
    if one.op in OPS and one.variant != "compiled"
]
CASES = [pytest.param(kind, one, id=f"{kind.spec.name}:{one.variant} {one.op}") for kind, one in FOUND]


@pytest.mark.parametrize("data", ["integers", "zeros"])
@pytest.mark.parametrize(("kind", "one"), CASES)
def test_ties_are_broken_as_the_op_says(kind: type[Backend], one: Implementation, data: Distribution) -> None:
    backend = kind("cpu", 1)
    for dtype in one.dtypes:
        problem = Problem(OPS[one.op], dtype, data=data)
        inputs = problem.inputs()
        tensors = tensors_of(backend, problem, inputs)
        with backend.activate(one.variant):
            call = one.prepare(problem, *tensors)
            assert Verifier(problem, inputs).check(backend, tensors, call) == 0


def test_every_backend_has_every_op_here() -> None:
    found = {(kind.spec.name, one.op) for kind, one in FOUND}
    assert len(found) == 3 * len(OPS)
