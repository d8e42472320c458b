"""The element-wise part of one recurrent step and of its gradient, in place in buffers that are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

Tensor = np.ndarray[Any, np.dtype[Any]]
States = Sequence[Tensor]
"""h, and c of an LSTM: batch × hidden each."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What a kind of recurrent layer does between its products.

    `step(gates, sums, before, after, kept)` is given in `gates` what the inputs add to each gate and in `sums` what the
    state adds; it leaves the gates' values in `gates`, the next state in `after`, and in `kept` what else its gradient
    needs. `back(gates, kept, before, after, flowing, da, db)` is given the gradient of `after` in `flowing`, and leaves
    there that part of the gradient of `before` which does not go through `sums`; the gradients of what was added are left
    in `da` and `db`. Where `apart` is false these two are one array.
    """

    count: int
    step: Callable[[Tensor, Tensor, States, States, Tensor], None]
    back: Callable[[Tensor, Tensor, States, States, States, Tensor, Tensor], None]
    apart: bool = False


def _parts(gates: Tensor, count: int) -> list[Tensor]:
    return np.split(gates, count, axis=-1)


def _squash(x: Tensor) -> None:
    """Put the logistic function of x in its place, as (1 + tanh(x/2)) / 2, which does not overflow."""
    np.multiply(x, 0.5, out=x)
    np.tanh(x, out=x)
    np.multiply(x, 0.5, out=x)
    np.add(x, 0.5, out=x)


def _tanh_step(gates: Tensor, sums: Tensor, _: States, after: States, __: Tensor) -> None:
    np.add(gates, sums, out=gates)
    np.tanh(gates, out=after[0])


def _tanh_back(
    _: Tensor, __: Tensor, ___: States, after: States, flowing: States, da: Tensor, ____: Tensor
) -> None:
    (h,), (dh,) = after, flowing
    np.multiply(dh, 1 - h * h, out=da)
    dh[...] = 0


def _relu_step(gates: Tensor, sums: Tensor, _: States, after: States, __: Tensor) -> None:
    np.add(gates, sums, out=gates)
    np.maximum(gates, 0, out=after[0])


def _relu_back(
    _: Tensor, __: Tensor, ___: States, after: States, flowing: States, da: Tensor, ____: Tensor
) -> None:
    (h,), (dh,) = after, flowing
    np.multiply(dh, h > 0, out=da)
    dh[...] = 0


def _lstm_step(gates: Tensor, sums: Tensor, before: States, after: States, kept: Tensor) -> None:
    np.add(gates, sums, out=gates)
    i, f, g, o = _parts(gates, 4)
    scratch = _parts(sums, 4)[0]
    _squash(gates[:, : 2 * i.shape[1]])
    np.tanh(g, out=g)
    _squash(o)
    h, c = after
    np.multiply(f, before[1], out=c)
    np.add(c, np.multiply(i, g, out=scratch), out=c)
    np.tanh(c, out=kept)
    np.multiply(o, kept, out=h)


def _lstm_back(
    gates: Tensor, kept: Tensor, before: States, _: States, flowing: States, da: Tensor, __: Tensor
) -> None:
    i, f, g, o = _parts(gates, 4)
    di, df, dg, do = _parts(da, 4)
    dh, dc = flowing
    dc += dh * o * (1 - kept * kept)
    np.multiply(dc * g, i * (1 - i), out=di)
    np.multiply(dc * before[1], f * (1 - f), out=df)
    np.multiply(dc * i, 1 - g * g, out=dg)
    np.multiply(dh * kept, o * (1 - o), out=do)
    dc *= f
    dh[...] = 0


def _gru_step(gates: Tensor, sums: Tensor, before: States, after: States, kept: Tensor) -> None:
    r, z, n = _parts(gates, 3)
    both, scratch = slice(2 * r.shape[1]), _parts(sums, 3)[0]
    np.add(gates[:, both], sums[:, both], out=gates[:, both])
    _squash(gates[:, both])
    kept[...] = _parts(sums, 3)[2]
    np.add(n, np.multiply(r, kept, out=scratch), out=n)
    np.tanh(n, out=n)
    np.subtract(before[0], n, out=scratch)
    np.multiply(scratch, z, out=scratch)
    np.add(n, scratch, out=after[0])


def _gru_back(
    gates: Tensor, kept: Tensor, before: States, _: States, flowing: States, da: Tensor, db: Tensor
) -> None:
    r, z, n = _parts(gates, 3)
    dr, dz, dn = _parts(da, 3)
    (dh,) = flowing
    np.multiply(dh * (1 - z), 1 - n * n, out=dn)
    np.multiply(dn * kept, r * (1 - r), out=dr)
    np.multiply(dh * (before[0] - n), z * (1 - z), out=dz)
    db[...] = da
    _parts(db, 3)[2][...] *= r
    dh *= z


GATES: Mapping[str, Gates] = MappingProxyType(
    {
        "tanh": Gates(1, _tanh_step, _tanh_back),
        "relu": Gates(1, _relu_step, _relu_back),
        "lstm": Gates(4, _lstm_step, _lstm_back),
        "gru": Gates(3, _gru_step, _gru_back, apart=True),
    }
)
