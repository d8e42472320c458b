"""What every convolution is, over any number of axes, plain or transposed: linear in its input and in its filter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator

from dlbench.errors import ProblemError
from dlbench.ops import conv_reference
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Op, Shape


class Convolution(Op):
    """A convolution (cross-correlation, as every framework has it), forward and both gradients.

    A transposed one is the data gradient of a plain one, whose input is its output: `plain` and `operands` say which
    direction of the plain one computes one of its own, and of what.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward_data", "backward_weight")

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """The plain convolution's shapes."""

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        c, k, groups = self.x_shape[1], self.y_shape[1], self.geometry.groups
        if c % groups or k % groups:
            raise ProblemError(
                f"{self.name} {self.label()}: {c} input and {k} output channels do not divide into {groups} groups"
            )
        if misfit := self._misfit():
            raise ProblemError(f"{self.name} {self.label()}: {misfit}")
        return self

    def _misfit(self) -> str:
        """Return why there is no place for the window; empty where there is."""
        return self.geometry.misfit()

    def plain(self, direction: Direction) -> Direction:
        """Return the direction of the plain convolution that computes this one's."""
        return direction

    def operands(self, direction: Direction, one: Any, other: Any) -> tuple[Any, Any]:  # noqa: ARG002
        """Return the inputs of a direction, given in this op's order, in the order of the plain convolution's."""
        return one, other

    @property
    def x_shape(self) -> Shape:
        """The input's shape."""
        return self.geometry.x_shape

    @property
    def w_shape(self) -> Shape:
        """The filter's shape."""
        return self.geometry.w_shape

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.geometry.y_shape

    def label(self) -> str:
        """Return "1×64×56×56 → 256, 1×1" and what differs from stride 1 without padding."""
        return self.geometry.label()

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, w for the output; dy, w for the input's gradient; x, dy for the filter's."""
        match direction:
            case "backward_data":
                return {"dy": self.y_shape, "w": self.w_shape}
            case "backward_weight":
                return {"x": self.x_shape, "dy": self.y_shape}
            case _:
                return {"x": self.x_shape, "w": self.w_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y, dx or dw."""
        match direction:
            case "backward_data":
                return {"dx": self.x_shape}
            case "backward_weight":
                return {"dw": self.w_shape}
            case _:
                return {"y": self.y_shape}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - the same in every direction
        """Return 2·n·k·(c/groups) for each place of the window and each of its taps."""
        return self.geometry.flops

    def reduction_length(self, direction: Direction) -> int:
        """Return the products summed in one element: c/groups·taps of an output, at most k/groups·taps of an input's
        gradient, n·places of a filter's."""
        conv = self.geometry
        match self.plain(direction):
            case "backward_data":
                return conv.k // conv.groups * conv.taps
            case "backward_weight":
                return conv.n * conv.positions
            case _:
                return conv.c // conv.groups * conv.taps

    def _given(self, direction: Direction, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        one, other = (inputs[name] for name in self.inputs(direction))
        given: tuple[Array, Array] = self.operands(direction, one, other)
        return given

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the output or the gradient."""
        (name,) = self.outputs(direction)
        given = self._given(direction, inputs)
        return {name: conv_reference.result(self.geometry, self.plain(direction), *given)}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the outputs at flat positions, each as one sum over its own terms."""
        places = np.column_stack(np.unravel_index(positions, self.outputs(direction)[output])).tolist()
        given = self._given(direction, inputs)
        return conv_reference.result_at(self.geometry, self.plain(direction), *given, places)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination, in each group, of the channels of what is computed, and the same of the
        combined filter or gradient."""
        (found,) = outputs.values()
        given = self._given(direction, inputs)
        return conv_reference.projection(self.geometry, self.plain(direction), *given, found, rng)
