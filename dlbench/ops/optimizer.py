"""Steps of optimizers, which change the parameters of a network in place."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import CHECKED_CALLS, Direction, Distribution, Op, Shape
from dlbench.ops.several import Several, numbered

Rate = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]
"""What is left of a running mean or sum after one step."""

UPDATE_OPERATIONS = 2
"""Counted per element for p - lr·u, for momentum·u + g and for g + weight_decay·p."""
ADAM_OPERATIONS = 13
"""Counted per element without weight decay: 3 for m, 4 for v, the root, the quotient by its correction and the addition of
eps, the quotient by all of that, and 2 for p."""
SMALLEST_SCALE = 2.0**-14
"""The smallest normal number of float16: parameters of that size still have all bits of the format."""


class _Optimizer(Op):
    """An optimizer on `tensors` parameters of n elements each: p0, p1, … with gradients g0, g1, ….

    Each call is one step, in place, on the implementation's own copies of the parameters and with the same gradients;
    its other state starts at zero. The answer is that of CHECKED_CALLS steps. Parameters are drawn about as large as a
    step, so that a step too many or too few shows in every dtype. Under constant gradients they drift by about the same
    amount each step, until that is less than a rounding of theirs: they stay finite for as long as anything is timed. A
    weight decay that would make them grow by itself is refused.
    """

    stateful: ClassVar[bool] = True
    roundings_of_a_step: ClassVar[int]
    """How many operators in a row write tensors in the dtype, where each term of the formula is one."""

    tensors: Several = 1
    n: Extent
    lr: Rate = 0.001
    weight_decay: Weight = 0.0

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.lr * self.weight_decay >= 1:
            raise ProblemError(
                f"{self.name} {self.label()}: lr times weight_decay is {self.lr * self.weight_decay:g}; from 1 on a "
                "step turns a parameter's sign, and larger ones make it grow without end"
            )
        return self

    def label(self) -> str:
        """Return "24×1048576" and what is not at its default."""
        fields = type(self).model_fields
        told = [
            f"{name} {value:g}"
            for name, value in self.model_dump(exclude={"tensors", "n"}).items()
            if value != fields[name].default
        ]
        return " ".join([f"{self.tensors}×{self.n}", *told])

    @property
    @abstractmethod
    def moments(self) -> int:
        """Tensors of state for each parameter."""

    @property
    def elements(self) -> int:
        """The elements of all parameters."""
        return self.tensors * self.n

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return p0, p1, … and g0, g1, …."""
        return numbered("p", self.tensors, (self.n,)) | numbered("g", self.tensors, (self.n,))

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return p0, p1, … as they are after the steps."""
        return numbered("p", self.tensors, (self.n,))

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; the parameters are scaled by the power of 2 next to lr."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        scale = max(2.0 ** round(math.log2(self.lr)), SMALLEST_SCALE)
        return inputs | {name: rounded(scale * inputs[name], dtype) for name in self.outputs(direction)}

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed over elements."""
        return 1

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return those of all steps that are checked."""
        return CHECKED_CALLS * self.roundings_of_a_step

    def traffic(self, direction: Direction, itemsize: int) -> int:  # noqa: ARG002 - forward only
        """Return the compulsory bytes: parameters and state read and written once, gradients read once."""
        return (2 * (1 + self.moments) + 1) * self.elements * itemsize

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the parameters after CHECKED_CALLS steps."""
        names = self.outputs(direction)
        return {name: self._stepped(inputs[name], inputs[f"g{name.removeprefix('p')}"]) for name in names}

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single elements: none depends on another."""
        gradient = inputs[f"g{output.removeprefix('p')}"]
        return self._stepped(inputs[output][positions], gradient[positions])

    @abstractmethod
    def _stepped(self, p: Array, g: Array) -> Array:
        """Return one parameter after CHECKED_CALLS steps."""


class Sgd(_Optimizer):
    """Stochastic gradient descent, as torch.optim.SGD has it without dampening.

    u = momentum·u + g + weight_decay·p, p = p - lr·u, with u = 0 at first; without momentum u is no state. 2 operations
    are counted per element for p, 2 for momentum and 2 for weight_decay where they are not 0. Traffic is 5 tensors for
    each parameter (p, g, u read, p, u written), without momentum 3.
    """

    name: ClassVar[str] = "sgd"
    summary: ClassVar[str] = "step of stochastic gradient descent, with momentum"
    roundings_of_a_step: ClassVar[int] = 3
    """g + weight_decay·p, u and p."""

    momentum: Decay = 0.9

    @property
    def moments(self) -> int:
        """Tensors of state for each parameter: u, where there is momentum."""
        return 1 if self.momentum else 0

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2, 4 or 6 per element."""
        parts = 1 + (self.momentum > 0) + (self.weight_decay > 0)
        return UPDATE_OPERATIONS * parts * self.elements

    def _stepped(self, p: Array, g: Array) -> Array:
        u = np.zeros_like(p)
        for _ in range(CHECKED_CALLS):
            u = self.momentum * u + g + self.weight_decay * p
            p = p - self.lr * u
        return p


class Adam(_Optimizer):
    """Adam, as torch.optim.Adam has it (D. P. Kingma & J. Ba, Adam: A Method for Stochastic Optimization, 2015).

    g' = g + weight_decay·p, m = beta1·m + (1 - beta1)·g', v = beta2·v + (1 - beta2)·g'², and in step t
    p = p - lr / (1 - beta1^t) · m / (sqrt(v) / sqrt(1 - beta2^t) + eps). 13 operations are counted per element, 15 with a
    weight decay. Traffic is 7 tensors for each parameter (p, g, m, v read, p, m, v written). There is no float16: v, a
    thousandth of g² at first, is 0 there for a g below 0.005, and the quotient has no bound.
    """

    name: ClassVar[str] = "adam"
    summary: ClassVar[str] = "step of Adam"
    dtypes: ClassVar[tuple[str, ...]] = ("float64", "float32", "bfloat16")
    roundings_of_a_step: ClassVar[int] = 6
    """g', v, its root, the sum with eps, the quotient and p; m is one beside v."""

    beta1: Decay = 0.9
    beta2: Decay = 0.999
    eps: Rate = 1e-8

    @property
    def moments(self) -> int:
        """Tensors of state for each parameter: m and v."""
        return 2

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 13 or 15 per element."""
        return (ADAM_OPERATIONS + UPDATE_OPERATIONS * (self.weight_decay > 0)) * self.elements

    def _stepped(self, p: Array, g: Array) -> Array:
        m, v = np.zeros_like(p), np.zeros_like(p)
        for step in range(1, CHECKED_CALLS + 1):
            decayed = g + self.weight_decay * p
            m = self.beta1 * m + (1 - self.beta1) * decayed
            v = self.beta2 * v + (1 - self.beta2) * decayed**2
            root = np.sqrt(v) / math.sqrt(1 - self.beta2**step)
            p = p - self.lr / (1 - self.beta1**step) * m / (root + self.eps)
        return p
