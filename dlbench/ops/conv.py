"""Two-dimensional convolution (cross-correlation, as every framework has it), forward and both gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from dlbench.errors import ProblemError
from dlbench.ops import conv_reference
from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent, Padding
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Op, Shape


class Conv2d(Op):
    """y[n,k,p,q] = sum over c, r, s of x[n, c, p·stride + r·dilation - pad, …] · w[k,c,r,s], by group.

    Input n × c × h × w, filter k × c/groups × r × s, output n × k × p × q. `stride_w` and `pad_w` default to
    `stride` and `pad`. FLOPs count padded taps: 2·n·k·p·q·(c/groups)·r·s in each direction.
    """

    name: ClassVar[str] = "conv2d"
    summary: ClassVar[str] = "2-D convolution"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward_data", "backward_weight")
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent
    k: Extent
    r: Extent
    s: Extent
    stride: Extent = 1
    stride_w: Extent | None = None
    pad: Padding = 0
    pad_w: Padding | None = None
    dilation: Extent = 1
    groups: Extent = 1

    @field_validator("stride_w", "pad_w")
    @classmethod
    def _none_as_the_other(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Return None for what `stride` or `pad` says already, so that equal problems have equal keys."""
        other = str(info.field_name).removesuffix("_w")
        return None if value == info.data.get(other) else value

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.c % self.groups or self.k % self.groups:
            raise ProblemError(
                f"{self._full()}: {self.c} input and {self.k} output channels do not divide "
                f"into {self.groups} groups"
            )
        height, width = self.h + 2 * self.pads[0], self.w + 2 * self.pads[1]
        if self.dilation * (self.r - 1) + 1 > height or self.dilation * (self.s - 1) + 1 > width:
            raise ProblemError(
                f"{self._full()}: the {self.r}×{self.s} kernel (dilation {self.dilation}) is larger than "
                f"the padded {height}×{width} input"
            )
        return self

    def _full(self) -> str:
        return f"{self.name} {self.label()}"

    @property
    def strides(self) -> tuple[int, int]:
        """Steps between outputs, down and across."""
        return self.stride, self.stride if self.stride_w is None else self.stride_w

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros on each side, above and beside."""
        return self.pad, self.pad if self.pad_w is None else self.pad_w

    @property
    def p(self) -> int:
        """The output's height."""
        return (self.h + 2 * self.pads[0] - self.dilation * (self.r - 1) - 1) // self.strides[0] + 1

    @property
    def q(self) -> int:
        """The output's width."""
        return (self.w + 2 * self.pads[1] - self.dilation * (self.s - 1) - 1) // self.strides[1] + 1

    @property
    def x_shape(self) -> Shape:
        """The input's shape."""
        return self.n, self.c, self.h, self.w

    @property
    def w_shape(self) -> Shape:
        """The filter's shape."""
        return self.k, self.c // self.groups, self.r, self.s

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.k, self.p, self.q

    def label(self) -> str:
        """Return "1×64×56×56 → 256, 1×1" and what differs from stride 1 without padding."""
        stride, stride_w = self.strides
        pad, pad_w = self.pads
        parts = [f"{self.n}×{self.c}×{self.h}×{self.w} → {self.k}, {self.r}×{self.s}"]
        if (stride, stride_w) != (1, 1):
            parts.append(f"/{stride}" if stride == stride_w else f"/{stride}×{stride_w}")
        if (pad, pad_w) != (0, 0):
            parts.append(f"pad {pad}" if pad == pad_w else f"pad {pad}×{pad_w}")
        if self.dilation != 1:
            parts.append(f"dilation {self.dilation}")
        if self.groups != 1:
            parts.append(f"groups {self.groups}")
        return " ".join(parts)

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
        """Return 2·n·k·p·q·(c/groups)·r·s."""
        return 2 * self.n * self.k * self.p * self.q * (self.c // self.groups) * self.r * self.s

    def reduction_length(self, direction: Direction) -> int:
        """Return the products summed in one output element: c/groups·r·s, at most k/groups·r·s, or n·p·q."""
        match direction:
            case "backward_data":
                return self.k // self.groups * self.r * self.s
            case "backward_weight":
                return self.n * self.p * self.q
            case _:
                return self.c // self.groups * self.r * self.s

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the output or the gradient."""
        match direction:
            case "backward_data":
                return {"dx": conv_reference.data_gradient(self, inputs["dy"], inputs["w"])}
            case "backward_weight":
                return {"dw": conv_reference.weight_gradient(self, inputs["x"], inputs["dy"])}
            case _:
                return {"y": conv_reference.output(self, inputs["x"], inputs["w"])}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the outputs at flat positions, each as one sum over its own terms."""
        places = np.column_stack(np.unravel_index(positions, self.outputs(direction)[output])).tolist()
        match direction:
            case "backward_data":
                values = [conv_reference.dx_at(self, inputs["dy"], inputs["w"], at) for at in places]
            case "backward_weight":
                values = [conv_reference.dw_at(self, inputs["x"], inputs["dy"], at) for at in places]
            case _:
                around = conv_reference.padded(self, inputs["x"])
                values = [conv_reference.y_at(self, around, inputs["w"], at) for at in places]
        return np.array(values)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination, in each group, of the output's channels or of the filter gradients.

        A convolution is linear in its filters: the combination of the k outputs is the output of the combined
        filter, at a k-th of the cost. Likewise the gradient of the input in its channels, and that of the
        filters in the filters.
        """
        axis = self.c if direction == "backward_data" else self.k
        v = np.stack([signs(axis // self.groups, rng) for _ in range(self.groups)])
        match direction:
            case "backward_data":
                narrow = self.model_copy(update={"c": self.groups})
                w = inputs["w"].reshape(self.groups, -1, *self.w_shape[1:])
                combined = np.einsum("gkcrs,gc->gkrs", w, v).reshape(narrow.w_shape)
                return _combined(outputs["dx"], v), conv_reference.data_gradient(
                    narrow, inputs["dy"], combined
                )
            case "backward_weight":
                narrow = self.model_copy(update={"k": self.groups})
                expected = conv_reference.weight_gradient(narrow, inputs["x"], _combined(inputs["dy"], v))
                return _combined(outputs["dw"][None], v)[0], expected
            case _:
                narrow = self.model_copy(update={"k": self.groups})
                w = _combined(inputs["w"][None], v)[0]
                return _combined(outputs["y"], v), conv_reference.output(narrow, inputs["x"], w)


def _combined(tensor: Array, v: Array) -> Array:
    """Return the tensor, n × channels × …, each group's channels combined into one by v, groups ×
    channels."""
    n, _, *rest = tensor.shape
    combined: Array = np.einsum("ngk...,gk->ng...", tensor.reshape(n, *v.shape, *rest), v)
    return combined
