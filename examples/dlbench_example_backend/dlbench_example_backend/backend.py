"""Matrices as lists of rows, on the processor."""

from __future__ import annotations

import platform
import sys
from typing import Any, ClassVar

import numpy as np

from dlbench.backends.backend import Backend, BackendSpec, Implementation, collect, implements
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call
from dlbench_example_backend import SPEC

Rows = list[list[float]]


class ListBackend(Backend):
    """A tensor is a list of rows of Python's floats, which are float64."""

    spec: ClassVar[BackendSpec] = SPEC

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return what is marked in this module."""
        return collect(sys.modules[__name__])

    def environment(self) -> dict[str, str]:
        """Return the version that computes."""
        return {"python": platform.python_version()}

    def tensor(self, values: Array, dtype: str) -> Rows:
        """Return the rows. Raises UnsupportedError for what is no matrix of float64."""
        if dtype != "float64" or values.ndim != 2:
            raise UnsupportedError("lists hold matrices of float64")
        rows: Rows = values.tolist()
        return rows

    def host(self, tensor: Rows) -> Array:
        """Return the rows as an array."""
        return np.array(tensor, dtype=np.float64)

    def dtype(self, tensor: Any) -> str:
        """Return float64, which is all that there is."""
        return "float64"

    def poison(self, tensor: Rows) -> None:
        """Fill every row with NaN."""
        for row in tensor:
            row[:] = [float("nan")] * len(row)


def _refuse_variations(problem: Problem) -> None:
    op = problem.op
    if not isinstance(op, Matmul) or Matmul(m=op.m, n=op.n, k=op.k) != op:
        raise UnsupportedError("takes one product of two matrices as they are")


@implements("matmul", variant="naive", dtypes=("float64",))
def naive(problem: Problem, a: Rows, b: Rows) -> Call:
    """Three loops."""
    _refuse_variations(problem)
    rows, columns, terms = range(len(a)), range(len(b[0])), range(len(b))

    def call() -> Rows:
        c = [[0.0] * len(b[0]) for _ in a]
        for i in rows:
            for j in columns:
                total = 0.0
                for k in terms:
                    total += a[i][k] * b[k][j]
                c[i][j] = total
        return c

    return call


@implements("matmul", variant="native", dtypes=("float64",))
def native(problem: Problem, a: Rows, b: Rows) -> Call:
    """A sum of products for each row and column."""
    _refuse_variations(problem)

    def call() -> Rows:
        columns = list(zip(*b, strict=True))
        return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a]

    return call
