"""One recurrent layer gone through in one direction: a product of cuBLAS and cupy's operations at each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import cupy

from dlbench.backends.cupy.matmul import Product, product_call
from dlbench.backends.cupy.programs import Tensor
from dlbench.timing.clock import Call

States = Sequence[Tensor]
Step = Callable[[Tensor, Tensor, States, States], None]
"""`step(gates, sums, before, after)` is given in `gates` what the inputs add to each gate and in `sums` what the state adds,
and writes the next state into `after`; what it was given is overwritten."""


def _part(gates: Tensor, index: int, count: int, width: int = 1) -> Tensor:
    """Return a view of so many gates that stand side by side."""
    size = gates.shape[1] // count
    return gates[:, index * size : (index + width) * size]


def _squash(x: Tensor) -> None:
    """Put the logistic function of x in its place, as (1 + tanh(x/2)) / 2, which does not overflow."""
    cupy.multiply(x, 0.5, out=x)
    cupy.tanh(x, out=x)
    cupy.multiply(x, 0.5, out=x)
    cupy.add(x, 0.5, out=x)


def _tanh(gates: Tensor, sums: Tensor, _: States, after: States) -> None:
    cupy.add(gates, sums, out=gates)
    cupy.tanh(gates, out=after[0])


def _relu(gates: Tensor, sums: Tensor, _: States, after: States) -> None:
    cupy.add(gates, sums, out=gates)
    cupy.maximum(gates, 0, out=after[0])


def _lstm(gates: Tensor, sums: Tensor, before: States, after: States) -> None:
    cupy.add(gates, sums, out=gates)
    i, f, g, o = (_part(gates, index, 4) for index in range(4))
    (h, c), scratch = after, _part(sums, 0, 4)
    _squash(_part(gates, 0, 4, 2))
    cupy.tanh(g, out=g)
    _squash(o)
    cupy.multiply(f, before[1], out=c)
    cupy.multiply(i, g, out=scratch)
    cupy.add(c, scratch, out=c)
    cupy.tanh(c, out=scratch)
    cupy.multiply(o, scratch, out=h)


def _gru(gates: Tensor, sums: Tensor, before: States, after: States) -> None:
    r, z, n = (_part(gates, index, 3) for index in range(3))
    both, (h,), scratch = _part(gates, 0, 3, 2), after, _part(sums, 2, 3)
    cupy.add(both, _part(sums, 0, 3, 2), out=both)
    _squash(both)
    cupy.multiply(r, scratch, out=scratch)
    cupy.add(n, scratch, out=n)
    cupy.tanh(n, out=n)
    cupy.subtract(before[0], n, out=scratch)
    cupy.multiply(scratch, z, out=scratch)
    cupy.add(n, scratch, out=h)


STEPS: Mapping[str, Step] = MappingProxyType({"tanh": _tanh, "relu": _relu, "lstm": _lstm, "gru": _gru})
"""By the kind of a layer."""


def layer_call(
    kind: str,
    dtype: str,
    weights: Sequence[Tensor],
    x: Tensor,
    first: States,
    y: Tensor,
    last: States,
    *,
    reverse: bool = False,
) -> Call:
    """Return a call that goes through all steps: the inputs of all in one product, the state's step by step.

    x is steps × batch × inputs, y, which holds h of every step, steps × batch × hidden; both are contiguous. Of an LSTM's
    c only the last is kept, in its place in `last`. With `reverse` it begins at the last step.
    """
    w_ih, w_hh, b_ih, b_hh = weights
    (steps, batch, hidden), (rows, inputs) = y.shape, w_ih.shape
    gates, sums = cupy.empty((steps, batch, rows), x.dtype), cupy.empty((batch, rows), x.dtype)
    add_inputs = product_call(Product(steps * batch, rows, inputs, trans_b=True), dtype, x, w_ih, gates)
    order = range(steps)[:: -1 if reverse else 1]
    sizes, step = Product(batch, rows, hidden, trans_b=True), STEPS[kind]
    befores = [first[0], *(y[at] for at in order)]
    products = [product_call(sizes, dtype, h, w_hh, sums) for h in befores[:-1]]

    def call() -> None:
        add_inputs()
        cupy.add(gates, b_ih, out=gates)
        for kept, start in zip(last[1:], first[1:], strict=True):
            cupy.copyto(kept, start)
        for number, at in enumerate(order):
            products[number]()
            cupy.add(sums, b_hh, out=sums)
            step(gates[at], sums, [befores[number], *last[1:]], [befores[number + 1], *last[1:]])
        cupy.copyto(last[0], befores[-1])

    return call
