from __future__ import annotations

import numpy as np
import pytest

from dlbench.ops.op import Op
from dlbench.ops.stream import Add, Copy, Scale, Triad


@pytest.mark.parametrize(
    ("op", "flops", "vectors"),
    [(Copy(n=10), 0, 2), (Scale(n=10), 1, 2), (Add(n=10), 1, 3), (Triad(n=10), 2, 3)],
)
def test_operations_and_bytes_per_element_are_those_of_stream(op: Op, flops: int, vectors: int) -> None:
    assert (op.flops("forward"), op.traffic("forward", 8)) == (10 * flops, 10 * 8 * vectors)


@pytest.mark.parametrize(
    ("op", "expected"),
    [(Copy(n=2), [1.0, 2.0]), (Scale(n=2), [3.0, 6.0]), (Add(n=2), [11.0, 22.0]), (Triad(n=2), [31.0, 62.0])],
)
def test_each_kernel_computes_what_its_name_says(op: Op, expected: list[float]) -> None:
    vectors = {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])}
    inputs = {name: vectors[name] for name in op.inputs("forward")}
    assert op.reference("forward", inputs)["c"].tolist() == expected


def test_a_copy_shares_no_memory_with_its_input() -> None:
    a = np.zeros(3)
    assert not np.shares_memory(Copy(n=3).reference("forward", {"a": a})["c"], a)


def test_the_label_is_the_number_of_elements() -> None:
    assert Triad(n=1_048_576).label() == "1,048,576"
