"""What an op counts is what torch's own counter counts, wherever that knows torch's operators for it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from ragged import RAGGED

from dlbench.backends import torch
from dlbench.backends.backend import Implementation, tensors_of
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.problem import Problem
from dlbench.ops.sparse import SpMM

BACKEND = torch.SPEC.load()
NEED_AN_ACCELERATOR = ("to_device", "to_host")
VARIANTS = ("library", "native")
COUNTED_IN_PART = {
    ("lstm_tagger", "forward"),
    ("bert_block", "forward"),
    ("llama_block", "forward"),
    ("attention", "backward"),
}
"""What torch's counter sees a part of on a processor: it knows neither torch.lstm nor the fused attention there; and the
unfused attention's gradient has four products, where its formula for the fused one's has five, with the scores again. The
formulas are held to the counter's, or to products written out, in tests/ops."""
CASES = [
    pytest.param(implementation, problem, id=f"{implementation.variant} {problem.label} {direction}")
    for implementation in BACKEND.implementations()
    if implementation.variant in VARIANTS and implementation.op not in NEED_AN_ACCELERATOR
    for op in RAGGED[implementation.op]
    for direction in implementation.directions
    if (implementation.op, direction) not in COUNTED_IN_PART
    for problem in [Problem(op, implementation.dtypes[0], direction)]
]
COUNTED = {"matmul", "conv2d", "attention"}
"""Ops whose `native` variant torch's counter is known to count: were it to forget them, the test below would compare
nothing. It does not know the fused attention of a processor, which `library` calls."""


def counted(implementation: Implementation, problem: Problem) -> int | None:
    backend = BACKEND("cpu", 1)
    with backend.activate(implementation.variant):
        call = implementation.prepare(problem, *tensors_of(backend, problem, problem.inputs()))
        return backend.count_flops(call)


def factor(problem: Problem) -> Fraction | int:
    """How many times too many torch's formula counts.

    The weight gradient of a convolution in groups, once a group; the product of a sparse matrix, as if it were dense.
    """
    if isinstance(problem.op, SpMM):
        return Fraction(problem.op.m * problem.op.k, problem.op.nnz)
    groups = int(problem.op.model_dump().get("groups", 1))
    return groups if problem.direction == "backward_weight" else 1


@pytest.mark.parametrize(("implementation", "problem"), CASES)
def test_the_operations_are_those_that_torch_counts(implementation: Implementation, problem: Problem) -> None:
    try:
        found = counted(implementation, problem)
    except UnsupportedError:
        found = None
    if problem.op.name in COUNTED and implementation.variant == "native":
        assert found is not None
    assert found is None or found == factor(problem) * problem.flops


def test_a_sparse_matrix_is_counted_as_a_dense_one() -> None:
    assert factor(Problem(SpMM(m=4, n=3, k=10, sparsity=0.7))) == Fraction(10, 3)


def test_the_other_known_deviation_is_of_groups_alone() -> None:
    problems = [Conv2d(c=4, h=5, w=5, k=4, r=3, s=3, groups=groups) for groups in (1, 2)]
    assert [factor(Problem(op, direction="backward_weight")) for op in problems] == [1, 2]
