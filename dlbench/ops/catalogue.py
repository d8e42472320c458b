"""Which ops there are: the built-in ones and those that other packages bring by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from inspect import isabstract, isclass
from types import MappingProxyType, ModuleType

from dlbench.ops import (
    activation,
    angular_loss,
    attention,
    classification_loss,
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
    metric_loss,
    network,
    normalization,
    optimizer,
    perceptron,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    reinforcement,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transfer,
    transformer,
    transpose,
)
from dlbench.ops.op import Op
from dlbench.plugins import loaded

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
        recurrent_cell,
        pooling,
        normalization,
        softmax,
        activation,
        elementwise,
        loss,
        classification_loss,
        metric_loss,
        angular_loss,
        dropout,
        reduction,
        transformer,
        transpose,
        stream,
        indexing,
        sorting,
        optimizer,
        perceptron,
        tagger,
        reinforcement,
        network,
        differentiation,
        transfer,
    )
)


def ops() -> Mapping[str, type[Op]]:
    """Return every op by its name. Warns of another package's that cannot be loaded."""
    found = {op.name: op for op in BUILT_IN}
    for op in loaded(entry_points(group=ENTRY_POINTS), _is_op, "Op"):
        found.setdefault(op.name, op)
    return MappingProxyType(found)


def _is_op(thing: object) -> bool:
    named = isinstance(getattr(thing, "name", None), str)
    return named and isclass(thing) and issubclass(thing, Op) and not isabstract(thing)
