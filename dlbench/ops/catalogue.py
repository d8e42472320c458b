"""Which ops there are: the built-in ones and those that other packages bring by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from inspect import isabstract, isclass
from types import MappingProxyType, ModuleType

from dlbench.ops import (
    activation,
    attention,
    block,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    network,
    normalization,
    optimizer,
    pooling,
    quantized,
    recurrent,
    reduction,
    reinforcement,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transfer,
    transpose,
)
from dlbench.ops.op import Op

ENTRY_POINTS = "dlbench.ops"


def defined_in(*modules: ModuleType) -> Iterator[type[Op]]:
    """Return the ops that the modules define, in the order in which they stand there; a base is none."""
    for module in modules:
        for member in vars(module).values():
            own = isclass(member) and issubclass(member, Op) and member.__module__ == module.__name__
            if own and not isabstract(member) and not member.__name__.startswith("_"):
                yield member


BUILT_IN: tuple[type[Op], ...] = tuple(
    defined_in(
        conv,
        conv_nd,
        conv_transpose,
        im2col,
        matmul,
        linear,
        sparse,
        quantized,
        attention,
        recurrent,
        pooling,
        normalization,
        softmax,
        activation,
        elementwise,
        loss,
        dropout,
        reduction,
        transpose,
        stream,
        indexing,
        sorting,
        optimizer,
        block,
        tagger,
        reinforcement,
        network,
        differentiation,
        transfer,
    )
)


def ops() -> Mapping[str, type[Op]]:
    """Return every op by its name."""
    found = {op.name: op for op in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINTS):
        op: type[Op] = entry.load()
        found.setdefault(op.name, op)
    return MappingProxyType(found)
