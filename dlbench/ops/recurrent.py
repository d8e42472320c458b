"""Recurrent layers over whole sequences: the simple one, LSTM and GRU, as torch.nn has them, with every gradient."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from dlbench.ops import recurrent_reference as maths
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import SMALL_INTEGER, Direction, Distribution, Op, Shape

Nonlinearity = Literal["tanh", "relu"]
Kind = Literal["tanh", "relu", "lstm", "gru"]
OFF = 4.0
"""What the first bias of every other relu unit is; that of the rest is minus it. The gradient of relu jumps at 0: where a sum
is about 0, a rounding error decides whether a whole term of the gradient is there. So half of the units are on for good, and
half are off."""
CALM = 8.0
"""What the other weights of relu are divided by besides: half of the inputs and half of the state being OFF, a unit's sum
has a standard deviation of OFF / CALM, and 0 is 8 of those away from its mean."""
PARAMETERS = ("w_ih", "w_hh", "b_ih", "b_hh")
"""Of each layer in each direction, in torch's order."""


class RecurrentOp(Op):
    """What layers and single cells have in common.

    FLOPs are those of the products, 2·gates·hidden_size·(inputs + hidden_size)·batch for each step, layer and direction,
    where a layer's inputs are those of x, or the outputs of the layer below; the backward direction has twice as many, the
    gradients of both operands of each product. Gates and biases are not counted. DeepBench's published figures count the
    product with the state alone, 2·gates·hidden_size²·batch for each step: they are lower by the inputs' part.
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]] = ("h",)
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    batch: Extent = 1
    input_size: Extent
    hidden_size: Extent

    @property
    @abstractmethod
    def weight_shapes(self) -> dict[str, Shape]:
        """The weights and biases by name, in torch's order."""

    @property
    @abstractmethod
    def forward_outputs(self) -> dict[str, Shape]:
        """The outputs of the forward direction."""

    @property
    @abstractmethod
    def data_shapes(self) -> dict[str, Shape]:
        """x and the initial states."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many steps follow one another from an input to an output at most."""

    @property
    @abstractmethod
    def samples(self) -> int:
        """The steps of all sequences, over which a weight's gradient is summed."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Of which kind one step is."""

    def layer_shapes(self, inputs: int) -> tuple[Shape, Shape, Shape, Shape]:
        """Return the shapes of w_ih, w_hh, b_ih and b_hh of a layer of so many inputs in one direction."""
        rows = self.gates * self.hidden_size
        return (rows, inputs), (rows, self.hidden_size), (rows,), (rows,)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, the initial states and the weights, and the outputs' gradients for those of the inputs."""
        shapes = self.data_shapes | self.weight_shapes
        if direction == "backward":
            shapes |= {f"d{name}": shape for name, shape in self.forward_outputs.items()}
        return shapes

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the outputs and the final states, or the gradients of all inputs."""
        if direction == "backward":
            return {f"d{name}": shape for name, shape in self.inputs("forward").items()}
        return self.forward_outputs

    def flops(self, direction: Direction) -> int:
        """Return 2·gates·hidden·(inputs + hidden)·batch of every step, layer and direction; twice that backward."""
        matrices = sum(math.prod(shape) for shape in self.weight_shapes.values() if len(shape) > 1)
        return (4 if direction == "backward" else 2) * self.samples * matrices

    def reduction_length(self, direction: Direction) -> int:
        """Return the widest layer's inputs + hidden, which are summed for a gate.

        Backward the errors of three sums add up: of those, of the gates' gradients and of a weight's, over all samples.
        """
        widest = max(shape[1] for name, shape in self.weight_shapes.items() if name.startswith("w_ih"))
        forward = widest + self.hidden_size
        if direction == "backward":
            return forward + self.gates * self.hidden_size + self.samples
        return forward

    def roundings(self, direction: Direction) -> int:
        """Return the depth and 2: each step rounds the state that the next one goes on from; backward both ways.

        Within a step the sums and the gates are rounded before the state is. Those of earlier steps count no more than
        their state does, since the weights let errors fade.
        """
        return (self.depth + 2) * (2 if direction == "backward" else 1)

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - whatever it costs
        """Return 0, which has the reference computed as a whole whatever its size.

        A state takes all steps before it and a weight's gradient every step: samples would cost as much, each output's
        anew.
        """
        return 0

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs, with weights of the size at which states neither grow nor vanish.

        Weights are divided by sqrt(hidden_size): of normal data a sum over the state is then of the state's own variance.
        Uniform weights and outputs' gradients are spread over [-1, 1], as torch initialises weights: positive ones would
        add up over units and steps, to more than float16 holds. Whole numbers are divided by 8, so that they are in
        [-1, 1] as well.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if distribution == "zeros":
            return inputs
        both_signs = {*self.weight_shapes, *(f"d{name}" for name in self.forward_outputs)}
        for name, values in inputs.items():
            match distribution:
                case "integers":
                    values = values / SMALL_INTEGER
                case "uniform" if name in both_signs:
                    values = 2 * values - 1
            inputs[name] = rounded(self._scaled(name, values), dtype)
        return inputs

    def _scaled(self, name: str, values: Array) -> Array:
        """Return weights as they keep the states in bounds, and those of relu away from its kink; all else as it is."""
        if name not in self.weight_shapes:
            return values
        if self.kind != "relu":
            return values / math.sqrt(self.hidden_size)
        if name.startswith("b_ih"):
            return np.where(np.arange(values.size) % 2 == 0, OFF, -OFF)
        return values / (CALM * math.sqrt(values.shape[-1]))


class SequenceOp(RecurrentOp):
    """A recurrent network of `layers` layers over `steps` steps.

    x is steps × batch × input_size; h0 and h (c0 and c) are layers·directions × batch × hidden_size; y, the states of the
    last layer, is steps × batch × directions·hidden_size. The weights of a layer and direction are gates·hidden_size ×
    inputs and × hidden_size, with two biases. A `bidirectional` one goes through the steps from the last to the first as
    well, and hands both states to the next layer.
    """

    steps: Extent
    layers: Extent = 1
    bidirectional: bool = False

    @property
    def ways(self) -> int:
        """The directions in which the steps are gone through, 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def depth(self) -> int:
        """The steps of all layers, which follow one another."""
        return self.steps * self.layers

    @property
    def samples(self) -> int:
        """steps·batch."""
        return self.steps * self.batch

    def label(self) -> str:
        """Return "25×32×512 → 512, 2 layers bidirectional": steps, batch, inputs and the state's size."""
        parts = [f"{self.steps}×{self.batch}×{self.input_size} → {self.hidden_size}"]
        if self.layers > 1:
            parts.append(f", {self.layers} layers")
        if self.bidirectional:
            parts.append(" bidirectional")
        return "".join(parts)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What follows a weight's name, layer by layer and direction by direction, as in torch: _l0, _l0_reverse, …"""
        both = ("", "_reverse")[: self.ways]
        return tuple(f"_l{layer}{way}" for layer in range(self.layers) for way in both)

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """The weights and biases by name, in torch's order."""
        shapes: dict[str, Shape] = {}
        for index, suffix in enumerate(self.suffixes):
            below = self.input_size if index < self.ways else self.ways * self.hidden_size
            names = (f"{name}{suffix}" for name in PARAMETERS)
            shapes |= dict(zip(names, self.layer_shapes(below), strict=True))
        return shapes

    @property
    def _state_shape(self) -> Shape:
        return self.layers * self.ways, self.batch, self.hidden_size

    @property
    def data_shapes(self) -> dict[str, Shape]:
        """x and the initial states."""
        x = {"x": (self.steps, self.batch, self.input_size)}
        return x | {f"{name}0": self._state_shape for name in self.states}

    @property
    def forward_outputs(self) -> dict[str, Shape]:
        """y and the final states."""
        y = {"y": (self.steps, self.batch, self.ways * self.hidden_size)}
        return y | dict.fromkeys(self.states, self._state_shape)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y and the final states, or the gradients, step by step."""
        flat = [tuple(inputs[name + suffix] for name in PARAMETERS) for suffix in self.suffixes]
        layers = [flat[first : first + self.ways] for first in range(0, len(flat), self.ways)]
        first = [inputs[f"{name}0"] for name in self.states]
        gone = maths.stack(maths.KINDS[self.kind], layers, inputs["x"], first)  # type: ignore[arg-type]  # of 4
        if direction == "backward":
            given = [inputs[f"d{name}"] for name in self.states]
            dx, states, weights = gone.back(inputs["dy"], given)
            found = [dx, *states, *(one for some in weights for one in some)]
        else:
            found = [gone.y, *(gone.last(which) for which in range(len(self.states)))]
        return dict(zip(self.outputs(direction), found, strict=True))


class Rnn(SequenceOp):
    """h' = tanh(w_ih x + b_ih + w_hh h + b_hh) at each step, or max(0, …) with `nonlinearity` relu."""

    name: ClassVar[str] = "rnn"
    summary: ClassVar[str] = "simple recurrent network (Elman)"
    gates: ClassVar[int] = 1

    nonlinearity: Nonlinearity = "tanh"

    @property
    def kind(self) -> Kind:
        """The nonlinearity."""
        return self.nonlinearity

    def label(self) -> str:
        """Return the sizes, and the nonlinearity where it is not tanh."""
        return super().label() + (" relu" if self.nonlinearity == "relu" else "")


class Lstm(SequenceOp):
    """c' = f c + i g and h' = o tanh(c') at each step, with gates i, f, o and the new g of x and h.

    Long short-term memory (S. Hochreiter and J. Schmidhuber, 1997), with the forget gate of F. Gers et al., 2000.
    """

    name: ClassVar[str] = "lstm"
    summary: ClassVar[str] = "long short-term memory"
    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    @property
    def kind(self) -> Kind:
        """An LSTM's."""
        return "lstm"


class Gru(SequenceOp):
    """h' = (1 - z) n + z h at each step, with n = tanh(w_in x + b_in + r (w_hn h + b_hn)) and gates r and z of x and h.

    Gated recurrent unit (K. Cho et al., 2014), in cuDNN's and torch's form, whose reset gate acts after the product.
    """

    name: ClassVar[str] = "gru"
    summary: ClassVar[str] = "gated recurrent unit"
    gates: ClassVar[int] = 3

    @property
    def kind(self) -> Kind:
        """A GRU's."""
        return "gru"
