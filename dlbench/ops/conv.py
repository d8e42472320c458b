"""Two-dimensional convolution (cross-correlation, as every framework has it), forward and both gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Op, Shape

MOST = 2**31 - 1
"""Extents beyond this overflow the 32-bit sizes of vendor libraries."""
Extent = Annotated[int, Field(ge=1, le=MOST)]
Padding = Annotated[int, Field(ge=0, le=MOST)]


class Conv2d(Op):
    """y[n,k,p,q] = sum over c, r, s of x[n, c, p·stride + r·dilation - pad, …] · w[k,c,r,s], within each group.

    Input n × c × h × w, filter k × c/groups × r × s, output n × k × p × q. `stride_w` and `pad_w` default to `stride` and
    `pad`. FLOPs count padded taps: 2·n·k·p·q·(c/groups)·r·s in each direction.
    """

    name: ClassVar[str] = "conv2d"
    summary: ClassVar[str] = "2-D convolution"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward_data", "backward_weight")
    layout: ClassVar[str] = "NCHW"

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

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.c % self.groups or self.k % self.groups:
            raise ProblemError(f"{self._full()}: {self.c} and {self.k} channels do not divide into {self.groups} groups")
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
        """Return the output or the gradient, one filter tap at a time as a product of matrices."""
        match direction:
            case "backward_data":
                return {"dx": self._data_gradient(inputs["dy"], inputs["w"])}
            case "backward_weight":
                return {"dw": self._weight_gradient(inputs["x"], inputs["dy"])}
            case _:
                return {"y": self._output(inputs["x"], inputs["w"])}

    def _padded(self, x: Array) -> Array:
        (pad, pad_w) = self.pads
        return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad_w, pad_w)))

    def _tap(self, padded: Array, row: int, column: int) -> Array:
        """Return the view of the padded input that one filter tap meets: n × channels × p × q."""
        (down, across), top, left = self.strides, row * self.dilation, column * self.dilation
        return padded[:, :, top : top + down * self.p : down, left : left + across * self.q : across]

    def _grouped(self, tensor: Array) -> Array:
        """Return n × groups × channels of a group × positions."""
        n, channels = tensor.shape[:2]
        return tensor.reshape(n, self.groups, channels // self.groups, -1)

    def _filters(self, w: Array) -> Array:
        """Return groups × k/groups × c/groups × r × s."""
        return w.reshape(self.groups, self.k // self.groups, *w.shape[1:])

    def _taps(self) -> list[tuple[int, int]]:
        return [(row, column) for row in range(self.r) for column in range(self.s)]

    def _output(self, x: Array, w: Array) -> Array:
        padded, filters = self._padded(x), self._filters(w)
        y = np.zeros((self.n, self.groups, self.k // self.groups, self.p * self.q))
        for row, column in self._taps():
            y += filters[None, ..., row, column] @ self._grouped(self._tap(padded, row, column))
        return y.reshape(self.y_shape)

    def _data_gradient(self, dy: Array, w: Array) -> Array:
        (pad, pad_w), filters, grouped = self.pads, self._filters(w), self._grouped(dy)
        padded = np.zeros((self.n, self.c, self.h + 2 * pad, self.w + 2 * pad_w))
        for row, column in self._taps():
            piece = np.swapaxes(filters[None, ..., row, column], -1, -2) @ grouped
            self._tap(padded, row, column)[...] += piece.reshape(self.n, self.c, self.p, self.q)
        return padded[:, :, pad : pad + self.h, pad_w : pad_w + self.w]

    def _weight_gradient(self, x: Array, dy: Array) -> Array:
        padded, grouped = self._padded(x), self._grouped(dy)
        dw = np.zeros((self.groups, self.k // self.groups, self.c // self.groups, self.r, self.s))
        for row, column in self._taps():
            taps = self._grouped(self._tap(padded, row, column))
            dw[..., row, column] = (grouped @ np.swapaxes(taps, -1, -2)).sum(axis=0)
        return dw.reshape(self.w_shape)

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the outputs at flat positions, each as one sum over its own taps."""
        at = np.unravel_index(positions, self.outputs(direction)[output])
        match direction:
            case "backward_data":
                values = [self._dx_at(inputs, *map(int, where)) for where in zip(*at, strict=True)]
            case "backward_weight":
                values = [self._dw_at(inputs, *map(int, where)) for where in zip(*at, strict=True)]
            case _:
                padded = self._padded(inputs["x"])
                values = [self._y_at(padded, inputs["w"], *map(int, where)) for where in zip(*at, strict=True)]
        return np.array(values)

    def _channels(self, group: int, channels: int) -> slice:
        size = channels // self.groups
        return slice(group * size, (group + 1) * size)

    def _y_at(self, padded: Array, w: Array, n: int, k: int, p: int, q: int) -> float:
        (down, across), step = self.strides, self.dilation
        channels = self._channels(k // (self.k // self.groups), self.c)
        top, left = p * down, q * across
        patch = padded[n, channels, top : top + step * self.r : step, left : left + step * self.s : step]
        return float(np.vdot(patch, w[k]))

    def _dw_at(self, inputs: Mapping[str, Array], k: int, c: int, r: int, s: int) -> float:
        channel = k // (self.k // self.groups) * (self.c // self.groups) + c
        padded = self._padded(inputs["x"][:, channel : channel + 1])
        return float(np.vdot(self._tap(padded, r, s)[:, 0], inputs["dy"][:, k]))

    def _dx_at(self, inputs: Mapping[str, Array], n: int, c: int, h: int, w: int) -> float:
        group, channel = divmod(c, self.c // self.groups)
        filters = self._channels(group, self.k)
        (down, across), (pad, pad_w), total = self.strides, self.pads, 0.0
        for row, column in self._taps():
            (p, odd), (q, odd_w) = divmod(h + pad - row * self.dilation, down), divmod(w + pad_w - column * self.dilation, across)
            if not (odd or odd_w) and 0 <= p < self.p and 0 <= q < self.q:
                total += float(inputs["dy"][n, filters, p, q] @ inputs["w"][filters, channel, row, column])
        return total

    def projection(
        self, direction: Direction, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rng: np.random.Generator
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination of the channels of the output, or of the filters of a gradient.

        The convolution is linear in its filters: the combination of the k outputs is the output of the combined
        filter, at a k-th of the cost. Likewise the input's gradient in its channels, and the filter's gradient in its filters.
        """
        axis, of_filters = (self.c, False) if direction == "backward_data" else (self.k, True)
        size = axis // self.groups
        signs = rng.choice([-1.0, 1.0], size=(self.groups, size))
        narrow = self.model_copy(update={"k": self.groups} if of_filters else {"c": self.groups})
        match direction:
            case "backward_data":
                combined = {"dy": inputs["dy"], "w": self._combined_channels(inputs["w"], signs)}
                actual = np.einsum("ngchw,gc->nghw", outputs["dx"].reshape(self.n, self.groups, size, self.h, self.w), signs)
            case "backward_weight":
                dy = inputs["dy"].reshape(self.n, self.groups, size, self.p, self.q)
                combined = {"x": inputs["x"], "dy": np.einsum("ngkpq,gk->ngpq", dy, signs)}
                actual = np.einsum("gkcrs,gk->gcrs", self._filters(outputs["dw"]), signs)
            case _:
                combined = {"x": inputs["x"], "w": np.einsum("gkcrs,gk->gcrs", self._filters(inputs["w"]), signs)}
                actual = np.einsum("ngkpq,gk->ngpq", outputs["y"].reshape(self.n, self.groups, size, self.p, self.q), signs)
        (expected,) = narrow.reference(direction, combined).values()
        return actual, expected

    def _combined_channels(self, w: Array, signs: Array) -> Array:
        return np.einsum("gkcrs,gc->gkrs", self._filters(w), signs).reshape(self.k, 1, self.r, self.s)
