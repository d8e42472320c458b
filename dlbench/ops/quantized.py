"""Matrix products of 8-bit numbers: of whole numbers, and of floating-point ones with a scale for each matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Distribution, Op, Shape

LARGEST = 127
"""The largest magnitude that is drawn: symmetric quantization leaves out -128 (H. Wu et al., Integer Quantization for Deep
Learning Inference, 2020, section 3.1)."""
SPREAD = 32.0
"""The standard deviation of whole numbers of `normal` data: one in 15,000 is clipped, four of them out."""
MOST_TERMS = (2**31 - 1) // LARGEST**2
"""So many products of the largest magnitude add up to no more than int32 holds."""
SCALES = 0.5, 2.0
"""Between what the scales of 8-bit floating-point matrices are drawn: of order 1 and hardly ever a power of two, so that
a scale that is forgotten or taken twice shows."""
Positions = np.ndarray[tuple[int], np.dtype[np.intp]]


class _Product(Op):
    """What the two have in common: a of m × k, b of k × n, and the FLOPs of the product."""

    m: Extent
    n: Extent
    k: Extent

    @property
    def product(self) -> Matmul:
        """The product of the numbers as they are, without any scale."""
        return Matmul(m=self.m, n=self.n, k=self.k)

    def label(self) -> str:
        """Return "64×128×256": m × n × k."""
        return self.product.label()

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return a and b."""
        return self.product.inputs(direction)

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return c."""
        return self.product.outputs(direction)

    def flops(self, direction: Direction) -> int:
        """Return 2·m·n·k; those of whole numbers are counted as well."""
        return self.product.flops(direction)

    def reduction_length(self, direction: Direction) -> int:
        """Return k."""
        return self.product.reduction_length(direction)

    def factor(self, inputs: Mapping[str, Array]) -> float:  # noqa: ARG002 - none unless an op has scales
        """Return what the product is multiplied by."""
        return 1.0

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the product, scaled."""
        return {"c": self.factor(inputs) * self.product.reference(direction, inputs)["c"]}

    def reference_at(
        self, direction: Direction, inputs: Mapping[str, Array], output: str, positions: Positions
    ) -> Array:
        """Return single elements of the product, each as one sum, scaled."""
        return self.factor(inputs) * self.product.reference_at(direction, inputs, output, positions)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return that of the product, scaled."""
        scaled = {**inputs, "a": self.factor(inputs) * inputs["a"]}
        return self.product.projection(direction, scaled, outputs, rng)


class Int8Matmul(_Product):
    """c = a b, of int8 matrices of m × k and k × n, added up and put out in int32; the answer is exact.

    `normal` data are whole numbers with a standard deviation of 32, `uniform` ones those from 0 to 127.
    """

    name: ClassVar[str] = "int8_matmul"
    summary: ClassVar[str] = "product of int8 matrices, exact in int32"
    dtypes: ClassVar[tuple[str, ...]] = ("int8",)

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.k > MOST_TERMS:
            raise ProblemError(
                f"{self.name} {self.label()}: sums of {self.k} products may be more than int32 holds; "
                f"{MOST_TERMS} is the most"
            )
        return self

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return int32 for c."""
        return {"c": "int32"}

    def make_inputs(
        self,
        direction: Direction,
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random whole numbers from -127 to 127."""
        if distribution not in ("normal", "uniform"):
            return super().make_inputs(direction, dtype, distribution, rng)
        return {name: _whole(shape, distribution, rng) for name, shape in self.inputs(direction).items()}


def _whole(shape: Shape, distribution: Distribution, rng: np.random.Generator) -> Array:
    if distribution == "uniform":
        return rng.integers(0, LARGEST, shape, endpoint=True).astype(np.float64)
    drawn: Array = np.rint(SPREAD * rng.standard_normal(shape))
    return drawn.clip(-LARGEST, LARGEST)


class Fp8Matmul(_Product):
    """c = scale_a·scale_b·a bᵀ, of float8_e4m3fn matrices a of m × k and b of n × k, added up in float32 or
    better and put out in bfloat16.

    The scales are float32 numbers, one for each matrix, as an array of one element. b is stored transposed, row by row
    of n: that is how a layer's weights lie, and the only way that the tensor cores of the first GPUs with FP8 take it.
    The answer is compared with the product of the numbers as they are after rounding to 8 bits; the tolerance is that
    of bfloat16, to which c is rounded.
    """

    name: ClassVar[str] = "fp8_matmul"
    summary: ClassVar[str] = "product of scaled FP8 (E4M3) matrices, to bfloat16"
    dtypes: ClassVar[tuple[str, ...]] = ("float8_e4m3fn",)

    @property
    def product(self) -> Matmul:
        """The product of the numbers as they are, without the scales."""
        return Matmul(m=self.m, n=self.n, k=self.k, trans_b=True)

    def label(self) -> str:
        """Return "64×128×256": m × n × k."""
        return f"{self.m}×{self.n}×{self.k}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return a, b and the scale of each."""
        return super().inputs(direction) | {"scale_a": (1,), "scale_b": (1,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return float32 for the scales and bfloat16 for c."""
        return {"scale_a": "float32", "scale_b": "float32", "c": "bfloat16"}

    def rounded_to(self, dtype: str) -> str:  # noqa: ARG002 - there is one
        """Return bfloat16, to which c is rounded."""
        return "bfloat16"

    def factor(self, inputs: Mapping[str, Array]) -> float:
        """Return the product of the scales."""
        return float(inputs["scale_a"][0] * inputs["scale_b"][0])

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random matrices, and scales between 0.5 and 2."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        for name in ("scale_a", "scale_b"):
            inputs[name] = rounded(rng.uniform(*SCALES, size=1), "float32")
        return inputs
