"""The float64 convolution and its gradients: whole, one image at a time, and at single outputs.

Each filter tap is a product of matrices over the channels; memory beyond the tensors is that of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dlbench.ops.conv_geometry import Geometry, Index
from dlbench.ops.dtypes import Array
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Shape


def result(conv: Geometry, direction: Direction, one: Array, other: Array) -> Array:
    """Return y of x and w, dx of dy and w, or dw of x and dy."""
    match direction:
        case "backward_data":
            return data_gradient(conv, one, other)
        case "backward_weight":
            return weight_gradient(conv, one, other)
        case _:
            return output(conv, one, other)


def result_at(
    conv: Geometry, direction: Direction, one: Array, other: Array, places: Sequence[Shape]
) -> Array:
    """Return single elements of the same, each as one sum over its own terms."""
    match direction:
        case "backward_data":
            values = [dx_at(conv, one, other, at) for at in places]
        case "backward_weight":
            values = [dw_at(conv, one, other, at) for at in places]
        case _:
            around = padded(conv, one)
            values = [y_at(conv, around, other, at) for at in places]
    return np.array(values)


def padded(conv: Geometry, images: Array) -> Array:
    """Return the images, … × extents, with zeros around them."""
    return np.pad(images, [(0, 0)] * (images.ndim - len(conv.pads)) + [(pad, pad) for pad in conv.pads])


def tap(conv: Geometry, image: Array, at: Shape) -> Array:
    """Return the view of padded images that one filter tap meets: … × places."""
    met: Array = image[conv.met(at)]
    return met


def _grouped(conv: Geometry, image: Array) -> Array:
    """Return an image as groups × channels of a group × positions."""
    return image.reshape(conv.groups, image.shape[0] // conv.groups, -1)


def _by_tap(conv: Geometry, w: Array) -> Array:
    """Return the filters as window × groups × k/groups × c/groups, each tap contiguous: BLAS takes no
    other."""
    grouped = w.reshape(conv.groups, conv.k // conv.groups, *w.shape[1:])
    axes = len(conv.window)
    return np.ascontiguousarray(np.moveaxis(grouped, range(3, 3 + axes), range(axes)))


def output(conv: Geometry, x: Array, w: Array) -> Array:
    """Return y."""
    filters = _by_tap(conv, w)
    y = np.zeros(conv.y_shape)
    for image, out in zip(x, y, strict=True):
        around, sums = padded(conv, image), _grouped(conv, out)
        for at in np.ndindex(conv.window):
            sums += filters[at] @ _grouped(conv, tap(conv, around, at))
    return y


def data_gradient(conv: Geometry, dy: Array, w: Array) -> Array:
    """Return dx: each tap's share goes back to where the tap took its input."""
    filters = np.swapaxes(_by_tap(conv, w), -1, -2)
    dx = np.empty(conv.x_shape)
    around = np.empty((conv.c, *conv.padded))
    for gradient, out in zip(dy, dx, strict=True):
        around.fill(0)
        for at in np.ndindex(conv.window):
            share = filters[at] @ _grouped(conv, gradient)
            tap(conv, around, at)[...] += share.reshape(conv.c, *conv.places)
        out[...] = around[conv.inner]
    return dx


def weight_gradient(conv: Geometry, x: Array, dy: Array) -> Array:
    """Return dw, summed over the images."""
    dw = np.zeros((conv.groups, conv.k // conv.groups, conv.c // conv.groups, *conv.window))
    for image, gradient in zip(x, dy, strict=True):
        around = padded(conv, image)
        for at in np.ndindex(conv.window):
            met = _grouped(conv, tap(conv, around, at))
            dw[(..., *at)] += _grouped(conv, gradient) @ np.swapaxes(met, -1, -2)
    return dw.reshape(conv.w_shape)


def y_at(conv: Geometry, around: Array, w: Array, at: Shape) -> float:
    """Return one element of y; `around` is the padded x."""
    n, k, *place = at
    step, size = conv.dilation, conv.c // conv.groups
    first = k // (conv.k // conv.groups) * size
    starts = [index * stride for index, stride in zip(place, conv.strides, strict=True)]
    met = (slice(one, one + step * size, step) for one, size in zip(starts, conv.window, strict=True))
    patch: Index = (n, slice(first, first + size), *met)
    return float(np.vdot(around[patch], w[k]))


def dx_at(conv: Geometry, dy: Array, w: Array, at: Shape) -> float:
    """Return one element of dx: the sum over the outputs that this pixel has touched."""
    n, c, *pixel = at
    size = conv.k // conv.groups
    group, channel = divmod(c, conv.c // conv.groups)
    filters = slice(group * size, (group + 1) * size)
    total = 0.0
    for tapped in np.ndindex(conv.window):
        steps = [
            divmod(index + pad - one * conv.dilation, stride)
            for index, pad, one, stride in zip(pixel, conv.pads, tapped, conv.strides, strict=True)
        ]
        place = [whole for whole, _ in steps]
        there = all(0 <= one < count for one, count in zip(place, conv.places, strict=True))
        if there and not any(between for _, between in steps):
            total += float(dy[(n, filters, *place)] @ w[(filters, channel, *tapped)])
    return total


def dw_at(conv: Geometry, x: Array, dy: Array, at: Shape) -> float:
    """Return one element of dw: the sum over images and outputs."""
    k, c, *tapped = at
    channel = k // (conv.k // conv.groups) * (conv.c // conv.groups) + c
    return float(np.vdot(tap(conv, padded(conv, x[:, channel]), tuple(tapped)), dy[:, k]))


def projection(
    conv: Geometry, direction: Direction, one: Array, other: Array, found: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return a random ±1 combination, in each group, of the output's channels or of the filter gradients.

    A convolution is linear in its filters: the combination of the k outputs is the output of the combined
    filter, at a k-th of the cost. Likewise the gradient of the input in its channels, and that of the
    filters in the filters.
    """
    axis = conv.c if direction == "backward_data" else conv.k
    v = np.stack([signs(axis // conv.groups, rng) for _ in range(conv.groups)])
    match direction:
        case "backward_data":
            narrow = replace(conv, c=conv.groups)
            w = other.reshape(conv.groups, -1, *other.shape[1:])
            combined = np.einsum("gkc...,gc->gk...", w, v).reshape(narrow.w_shape)
            return _combined(found, v), data_gradient(narrow, one, combined)
        case "backward_weight":
            narrow = replace(conv, k=conv.groups)
            return _combined(found[None], v)[0], weight_gradient(narrow, one, _combined(other, v))
        case _:
            narrow = replace(conv, k=conv.groups)
            return _combined(found, v), output(narrow, one, _combined(other[None], v)[0])


def _combined(tensor: Array, v: Array) -> Array:
    """Return the tensor, n × channels × …, each group's channels combined into one by v, groups ×
    channels."""
    n, _, *rest = tensor.shape
    combined: Array = np.einsum("ngk...,gk->ng...", tensor.reshape(n, *v.shape, *rest), v)
    return combined
