"""Activation functions and their derivatives, element by element."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.elements import OverElements
from dlbench.ops.op import Direction, Distribution, Shape

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715
"""Of the tanh form (D. Hendrycks & K. Gimpel, Gaussian Error Linear Units, 2016, section 2)."""


class _Activation(OverElements):
    """y = f(x) of each of n elements; backward, dx = dy · f'(x)."""

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    kept: ClassVar[str] = "x"
    """What the derivative is computed from, x or y; the one that torch's aten::*_backward takes."""

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Return f(x)."""

    @abstractmethod
    def derivative(self, kept: Array) -> Array:
        """Return f'(x), from x or y as `kept` says."""

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x; backward, what is kept and dy."""
        return dict.fromkeys(("x",) if direction == "forward" else (self.kept, "dy"), (self.n,))

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dx."""
        return {"y" if direction == "forward" else "dx": (self.n,)}

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return f(x), or dy · f'(x)."""
        if direction == "forward":
            return {"y": self.value(inputs["x"])}
        return {"dx": inputs["dy"] * self.derivative(inputs[self.kept])}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; a y that is kept is f of a random x."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if "y" in inputs:
            inputs["y"] = rounded(self.value(inputs["y"]), dtype)
        return inputs


class Step(OverElements):
    """y = 1 where x > 0, else 0, also at 0, of each of n elements: one operation, the comparison.

    It has no gradient to speak of: that is 0 everywhere but at 0.
    """

    name: ClassVar[str] = "step"
    summary: ClassVar[str] = "Heaviside's step function, 0 at 0"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x."""
        return {"x": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": (self.n,)}

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return 1 where x is positive, 0 elsewhere."""
        return {"y": np.where(inputs["x"] > 0, 1.0, 0.0)}


class Relu(_Activation):
    """y = max(x, 0) of each of n elements: one operation, the comparison; and one for dx = dy where x > 0, else 0."""

    name: ClassVar[str] = "relu"
    summary: ClassVar[str] = "rectified linear unit, max(x, 0)"
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 1, "backward": 1}

    def value(self, x: Array) -> Array:
        """Return x where it is positive, 0 elsewhere."""
        return np.maximum(x, 0.0)

    def derivative(self, kept: Array) -> Array:
        """Return 1 where x is positive, 0 elsewhere."""
        return np.where(kept > 0, 1.0, 0.0)


class LeakyRelu(_Activation):
    """y = x where x > 0, else slope · x (A. L. Maas, A. Y. Hannun & A. Y. Ng, Rectifier nonlinearities, 2013).

    Two operations for each element in both directions: the comparison and the product.
    """

    name: ClassVar[str] = "leaky_relu"
    summary: ClassVar[str] = "leaky rectified linear unit, max(x, slope · x)"
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 2, "backward": 2}

    slope: Annotated[float, Field(ge=0, lt=1)] = 0.01

    def label(self) -> str:
        """Return the number of elements, and a slope that is not 0.01."""
        usual = self.slope == type(self).model_fields["slope"].default
        return super().label() if usual else f"{super().label()} slope {self.slope:g}"

    def value(self, x: Array) -> Array:
        """Return the larger of x and slope · x."""
        return np.maximum(x, self.slope * x)

    def derivative(self, kept: Array) -> Array:
        """Return 1 where x is positive, the slope elsewhere."""
        return np.where(kept > 0, 1.0, self.slope)


class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x)) of each of n elements; backward, dx = dy · y · (1 - y).

    Four operations for each element: the change of sign, the exponential, the addition and the division; backward three.
    """

    name: ClassVar[str] = "sigmoid"
    summary: ClassVar[str] = "logistic function, 1 / (1 + exp(-x))"
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 4, "backward": 3}
    kept: ClassVar[str] = "y"

    def value(self, x: Array) -> Array:
        """Return the logistic function."""
        return _logistic(x)

    def derivative(self, kept: Array) -> Array:
        """Return y (1 - y)."""
        return kept * (1 - kept)


class Tanh(_Activation):
    """y = tanh(x) of each of n elements; backward, dx = dy · (1 - y²).

    One operation for each element; backward three.
    """

    name: ClassVar[str] = "tanh"
    summary: ClassVar[str] = "hyperbolic tangent"
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 1, "backward": 3}
    kept: ClassVar[str] = "y"

    def value(self, x: Array) -> Array:
        """Return the hyperbolic tangent."""
        return np.tanh(x)

    def derivative(self, kept: Array) -> Array:
        """Return 1 - y²."""
        return 1 - kept**2


class Silu(_Activation):
    """y = x s with s = 1 / (1 + exp(-x)), of each of n elements; backward, dx = dy · s · (1 + x (1 - s)).

    Four operations for each element, the division being x / (1 + exp(-x)); backward nine, four of them for s.
    """

    name: ClassVar[str] = "silu"
    summary: ClassVar[str] = "sigmoid linear unit (swish), x / (1 + exp(-x))"
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 4, "backward": 9}

    def value(self, x: Array) -> Array:
        """Return x times its logistic function."""
        return x * _logistic(x)

    def derivative(self, kept: Array) -> Array:
        """Return s (1 + x (1 - s))."""
        s = _logistic(kept)
        return s * (1 + kept * (1 - s))


class Gelu(_Activation):
    """y = x (1 + erf(x / sqrt 2)) / 2 of each of n elements, x times the normal distribution's share below x.

    With `approximate`, the tanh form: y = x (1 + tanh(u)) / 2 with u = sqrt(2/π) (x + 0.044715 x³). For each element
    the exact form takes 5 operations, backward 11 (4 for the share, 4 for the density, 3 for their sum and dx); the tanh
    form takes 9, of them 5 for u, and backward 18: 8 for (1 + tanh(u)) / 2, 8 for the slope of the tangent, 2 for dx.
    """

    name: ClassVar[str] = "gelu"
    summary: ClassVar[str] = "Gaussian error linear unit, exact or by tanh"

    approximate: bool = False

    def label(self) -> str:
        """Return the number of elements, and "tanh" for that form."""
        return f"{super().label()} tanh" if self.approximate else super().label()

    def flops(self, direction: Direction) -> int:
        """Return 5 and 11 per element, or 9 and 18 in the tanh form."""
        exact, by_tanh = {"forward": (5, 9), "backward": (11, 18)}[direction]
        return (by_tanh if self.approximate else exact) * self.n

    def roundings(self, direction: Direction) -> int:
        """Return 1; backward 8, the intermediate results of the tanh form that stand in a row.

        Half of x times the slope of u, which is 9 for x = 5, multiplies their errors, of float32 and float64 as well.
        """
        return 1 if direction == "forward" else 8

    def value(self, x: Array) -> Array:
        """Return x times the share."""
        return x * self._share(x)

    def derivative(self, kept: Array) -> Array:
        """Return the share, plus x times its slope."""
        x = kept
        if not self.approximate:
            return self._share(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
        tangent = np.tanh(_gelu_argument(x))
        slope = GELU_SCALE * (1 + 3 * GELU_CUBIC * x**2)
        derivative: Array = (1 + tangent) / 2 + x * (1 - tangent**2) * slope / 2
        return derivative

    def _share(self, x: Array) -> Array:
        from scipy.special import erf  # not loaded by commands that compute nothing

        inner: Array = np.tanh(_gelu_argument(x)) if self.approximate else erf(x / math.sqrt(2))
        return (1 + inner) / 2


def _logistic(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), of either sign without overflow."""
    power = np.exp(-np.abs(x))
    share: Array = np.where(x < 0, power, 1.0) / (1 + power)
    return share


def _gelu_argument(x: Array) -> Array:
    return GELU_SCALE * (x + GELU_CUBIC * x**3)
