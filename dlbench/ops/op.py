"""The Op base: what is computed, with no framework in sight."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from dlbench.ops.dtypes import FLOATS, FORMATS, Array, rounded

Direction = Literal["forward", "backward_data", "backward_weight", "backward", "forward_backward"]
Distribution = Literal["normal", "uniform", "zeros", "integers"]
Shape = tuple[int, ...]

DIRECTIONS: tuple[Direction, ...] = (
    "forward",
    "backward_data",
    "backward_weight",
    "backward",
    "forward_backward",
)
DISTRIBUTIONS: tuple[Distribution, ...] = ("normal", "uniform", "zeros", "integers")

CHECKED_CALLS = 2
"""How often a call is made before its answer is compared: what the first one leaves in memory must not pass."""
SMALL_INTEGER = 8
"""`integers` draws whole numbers in [-8, 8]: exactly representable in every format down to bfloat16."""


class Op(BaseModel, ABC):
    """What is computed. An instance holds the concrete parameters, checked; a subclass is one operator.

    Inputs and outputs are named float64 arrays on the host here, indices and masks as well; a backend owns the tensors it
    computes with. The gradient with respect to a tensor `x` is called `dx`, and given as an input to a backward direction
    it is that of the output of the same name: `dy` of `y`. What else such a direction is given are inputs and outputs of
    `forward` under their names there.
    A subclass raises ProblemError from a validator when its parameters make no sense together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: ClassVar[str]
    summary: ClassVar[str]
    directions: ClassVar[tuple[Direction, ...]] = ("forward",)
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    layouts: ClassVar[tuple[str, ...]] = ()
    """Orders of the axes in memory that there are, the op's own first; empty for an op without a choice."""
    later: ClassVar[tuple[str, ...]] = ()
    """Parameters that were added to the op after runs of it had been stored. At its default such a one is left out of a
    problem's key, so that the problem is still the one of the earlier runs."""
    stateful: ClassVar[bool] = False
    """Whether each call goes on from the state that the one before has left, as an optimizer's step does.

    An implementation keeps the state for itself, a copy of the inputs that it was prepared with; `reference` is then of
    the state after CHECKED_CALLS calls, after which an answer is looked at."""
    random: ClassVar[bool] = False
    """Whether two calls give different answers; `seen` and `complaint` then say which of them are right."""

    @classmethod
    def own_layout(cls) -> str:
        """Return the order of the axes in memory where nothing else is asked for."""
        return cls.layouts[0] if cls.layouts else ""

    @abstractmethod
    def label(self) -> str:
        """Return the parameters as a reader writes them, such as "64×56×56 → 256, 1×1"."""

    @abstractmethod
    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the input tensors' shapes by name, in the order in which an implementation takes them."""

    @abstractmethod
    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the output tensors' shapes by name, in the order in which an implementation gives them."""

    @abstractmethod
    def flops(self, direction: Direction) -> int:
        """Return the floating-point operations of one call; a multiply-add is 2."""

    @abstractmethod
    def reduction_length(self, direction: Direction) -> int:
        """Return how many terms the longest sum behind one output element has; sets the tolerance."""

    @abstractmethod
    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs computed in float64."""

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - none unless an op says otherwise
        """Return the dtypes of those tensors, by name, that are not in the problem's: int64 of indices, bool of masks."""
        return {}

    def seen(
        self,
        direction: Direction,  # noqa: ARG002 - for overriding
        inputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
        outputs: Mapping[str, Array],
    ) -> Mapping[str, Array]:
        """Return the outputs as they are compared with the reference, of the same names and shapes.

        Themselves, unless there are several right answers: of indices that sort equal numbers, say, the numbers. What
        that leaves unseen is for `complaint`.
        """
        return outputs

    def complaint(
        self,
        direction: Direction,  # noqa: ARG002 - for overriding
        inputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
        outputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
    ) -> str:
        """Return what is wrong with the outputs that a comparison with the reference cannot see; empty where nothing is."""
        return ""

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - 1 unless an op says otherwise
        """Return how many times in a row intermediate results are rounded to the problem's dtype, at least 1.

        It is 1 for what is one kernel, and the depth of what is several. It widens the tolerance like the terms of a sum.
        """
        return 1

    def rounded_to(self, dtype: str) -> str:
        """Return the format whose roundings the tolerance allows for: the problem's dtype unless an op says otherwise.

        Operands of 8 bits are exact as they are given; what is rounded is the result, to a wider format.
        """
        return dtype

    def crest(self, direction: Direction) -> float:  # noqa: ARG002 - 1 unless an op says otherwise
        """Return how much farther the largest output stands out than that of normal data; at least 1.

        In root mean squares. 1 fits sums of products. It widens the tolerance: a rounding error is in
        proportion to its own output, and the error is taken over the root mean square of all.
        """
        return 1.0

    def parameters(self) -> int:
        """Return how many numbers training sets: a network's weights and biases; 0 for what has none."""
        return 0

    def activations(self) -> int:
        """Return how many numbers a network's products put out in one forward pass; 0 for what is no network."""
        return 0

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the compulsory bytes: each input read once, each output written once."""
        outputs = self._bytes(direction, self.outputs(direction), itemsize)
        return self.input_bytes(direction, itemsize) + outputs

    def input_bytes(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of the input tensors."""
        return self._bytes(direction, self.inputs(direction), itemsize)

    def _bytes(self, direction: Direction, shapes: Mapping[str, Shape], itemsize: int) -> int:
        formats = self.formats(direction)
        return sum(
            (FORMATS[formats[name]].itemsize if name in formats else itemsize) * math.prod(shape)
            for name, shape in shapes.items()
        )

    def reference_cost(self, direction: Direction) -> int:
        """Return about how many operations the whole reference takes; above a limit, outputs are sampled."""
        return max(self.flops(direction), sum(math.prod(s) for s in self.outputs(direction).values()))

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the named output's float64 values at flat (C order) positions, without computing the others.

        The default computes the whole reference; an op whose reference is dear overrides it.
        """
        return self.reference(direction, inputs)[output].ravel()[positions]

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - for overriding
        inputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
        outputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
        rng: np.random.Generator,  # noqa: ARG002 - for overriding
    ) -> tuple[Array, Array] | None:
        """Return a random projection of the outputs and the same one computed from the inputs, or None.

        Freivalds' check: cheaper than the op by a factor of its size, it sees every output element, which
        sampling does not (R. Freivalds, Probabilistic machines can use less running time, IFIP 1977). Entries
        of the projecting vector are +1 or -1, so that errors add as they would over a sum of that length.
        """
        return None

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs, already rounded to the dtype so that every backend gets the same numbers.

        An op overrides it for indices and masks.
        """
        return {
            name: rounded(draw(shape, distribution, rng), dtype)
            for name, shape in self.inputs(direction).items()
        }


def draw(shape: Shape, distribution: Distribution, rng: np.random.Generator) -> Array:
    """Return random numbers of a distribution."""
    match distribution:
        case "normal":
            return rng.standard_normal(shape, dtype=np.float32).astype(np.float64)
        case "uniform":
            return rng.random(shape, dtype=np.float32).astype(np.float64)
        case "integers":
            return rng.integers(-SMALL_INTEGER, SMALL_INTEGER, shape, endpoint=True).astype(np.float64)
        case "zeros":
            return np.zeros(shape)
