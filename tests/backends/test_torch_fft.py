"""torch's products of spectra."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_strategies import convolutions, convolutions_1d, convolutions_3d

from dlbench.backends.torch.backend import TorchBackend
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_base import Convolution
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch


@pytest.fixture(scope="module")
def backend() -> Iterator[TorchBackend]:
    threads = torch.get_num_threads()
    yield TorchBackend("cpu", 1)
    torch.set_num_threads(threads)


@settings(max_examples=80)
@given(convolutions() | convolutions_1d() | convolutions_3d(), st.sampled_from(Convolution.directions))
def test_spectra_give_every_stride_padding_and_dilation(
    backend: TorchBackend, op: Convolution, direction: Direction
) -> None:
    """Their errors are in proportion to the operands, of which a convolution of little else than padding sees little."""
    problem = Problem(op, "float64", direction)
    inputs = problem.inputs()
    (expected,) = op.reference(direction, inputs).values()
    norms = float(np.prod([np.linalg.norm(values) for values in inputs.values()]))
    tensors = [backend.tensor(values, "float64") for values in inputs.values()]
    with backend.activate("fft"):
        call = backend.find(problem, "fft").prepare(problem, *tensors)
        backend.poison(call())
        found = backend.host(call())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * norms)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "tf32"])
def test_there_are_no_spectra_of_fewer_bits(dtype: str) -> None:
    problem = Problem(Conv2d(c=1, h=3, w=3, k=1, r=3, s=3), dtype)
    with pytest.raises(UnsupportedError, match=f"^torch:fft has no {dtype}: computes float32, float64$"):
        TorchBackend.find(problem, "fft")
