"""The fully connected layer, forward and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Op, Shape


class Linear(Op):
    """y = x wᵀ + b, with x of n × in_features, w of out_features × in_features and b of out_features elements.

    FLOPs are those of the one product that each direction is, 2·n·in_features·out_features; adding b, and the sums that
    are its gradient db, are not counted, as torch.utils.flop_counter has it. db comes with dw.
    """

    name: ClassVar[str] = "linear"
    summary: ClassVar[str] = "fully connected layer"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward_data", "backward_weight")

    n: Extent
    in_features: Extent
    out_features: Extent
    bias: bool = True

    @property
    def x_shape(self) -> Shape:
        """The input's shape."""
        return self.n, self.in_features

    @property
    def w_shape(self) -> Shape:
        """The weights' shape."""
        return self.out_features, self.in_features

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.out_features

    def label(self) -> str:
        """Return "64×1024 → 4096": rows, features in and out, and whether there is no bias."""
        return f"{self.n}×{self.in_features} → {self.out_features}" + ("" if self.bias else " no bias")

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, w and b for the output; dy, w for the input's gradient; x, dy for the weights'."""
        match direction:
            case "backward_data":
                return {"dy": self.y_shape, "w": self.w_shape}
            case "backward_weight":
                return {"x": self.x_shape, "dy": self.y_shape}
            case _:
                return {"x": self.x_shape, "w": self.w_shape} | self._of_bias("b")

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y, dx, or dw and db."""
        match direction:
            case "backward_data":
                return {"dx": self.x_shape}
            case "backward_weight":
                return {"dw": self.w_shape} | self._of_bias("db")
            case _:
                return {"y": self.y_shape}

    def _of_bias(self, name: str) -> dict[str, Shape]:
        return {name: (self.out_features,)} if self.bias else {}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - the same in every direction
        """Return 2·n·in_features·out_features."""
        return 2 * self.n * self.in_features * self.out_features

    def reduction_length(self, direction: Direction) -> int:
        """Return in_features and one more for the bias, out_features, or n."""
        match direction:
            case "backward_data":
                return self.out_features
            case "backward_weight":
                return self.n
            case _:
                return self.in_features + self.bias

    def product(self, direction: Direction) -> tuple[Matmul, tuple[str, str]]:
        """Return the matrix product that the direction is, and which of its inputs are multiplied, in that order."""
        n, features, outputs = self.n, self.in_features, self.out_features
        match direction:
            case "backward_data":
                return Matmul(m=n, n=features, k=outputs), ("dy", "w")
            case "backward_weight":
                return Matmul(m=outputs, n=features, k=n, trans_a=True), ("dy", "x")
            case _:
                return Matmul(m=n, n=outputs, k=features, trans_b=True, beta=float(self.bias)), ("x", "w")

    def _multiplied(
        self, direction: Direction, inputs: Mapping[str, Array]
    ) -> tuple[Matmul, dict[str, Array]]:
        """Return the product and its inputs; the bias is one row, seen n times."""
        product, (a, b) = self.product(direction)
        given = {"a": inputs[a], "b": inputs[b]}
        if product.beta != 0:
            given["c0"] = np.broadcast_to(inputs["b"], self.y_shape)
        return product, given

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the output or the gradients."""
        product, given = self._multiplied(direction, inputs)
        first, *more = self.outputs(direction)
        found = {first: product.reference("forward", given)["c"]}
        return found | {name: inputs["dy"].sum(axis=0) for name in more}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single elements of the product, each as one sum of its own, or of db."""
        if output == "db":
            values: Array = inputs["dy"][:, positions].sum(axis=0)
            return values
        product, given = self._multiplied(direction, inputs)
        return product.reference_at("forward", given, "c", positions)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return that of the product; db, which costs no more than reading dy, is compared as a whole."""
        if "db" in outputs:
            return outputs["db"], inputs["dy"].sum(axis=0)
        product, given = self._multiplied(direction, inputs)
        (values,) = outputs.values()
        return product.projection("forward", given, {"c": values}, rng)
