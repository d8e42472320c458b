"""softmax of a worked example by its kernels, on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from emulator import Library, decoded, encoded
from kernel_problems import an_op

from dlbench.backends.cupy.launches import DTYPES, Variant, launch
from dlbench.ops.problem import Problem


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", get_args(Variant))
def test_the_softmax_of_a_worked_example(
    library: Callable[[str], Library], variant: Variant, dtype: str
) -> None:
    x = encoded(np.array([5.0, 2.0, -1.0, 3.0]), dtype)
    y = np.zeros_like(x)
    library(dtype).run(launch(Problem(an_op("softmax", rows=1, cols=4), dtype), variant), [x, y])
    expected, digits = [0.842, 0.042, 0.002, 0.114], 2 if dtype == "bfloat16" else 3
    assert decoded(y, dtype).round(digits).tolist() == np.round(expected, digits).tolist()
