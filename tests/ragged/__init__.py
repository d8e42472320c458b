"""Small problems of ragged shapes of every op, by family: what each cell of the catalogue is tested on."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from ragged import (
    activation,
    attention,
    block,
    convolution,
    dense,
    differentiation,
    indexing,
    loss,
    memory,
    network,
    normalization,
    optimizer,
    pooling,
    recurrent,
    training,
)

FAMILIES = (
    activation,
    attention,
    training,
    block,
    convolution,
    dense,
    differentiation,
    indexing,
    loss,
    memory,
    network,
    normalization,
    optimizer,
    pooling,
    recurrent,
)
RAGGED: Mapping[str, tuple[Op, ...]] = {
    name: some for family in FAMILIES for name, some in family.RAGGED.items()
}
