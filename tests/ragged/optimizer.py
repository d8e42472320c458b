"""Small ragged problems of optimizers, with rates so large that each term shows."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.optimizer import Adam, Sgd

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "sgd": (
        Sgd(tensors=3, n=65),
        Sgd(tensors=2, n=7, lr=0.25, momentum=0.5, weight_decay=0.5),
        Sgd(n=33, lr=0.1, momentum=0.0),
        Sgd(n=33, lr=0.1, momentum=0.0, weight_decay=0.5),
    ),
    "adam": (
        Adam(tensors=3, n=65),
        Adam(tensors=2, n=7, lr=0.25, beta1=0.5, beta2=0.75, eps=0.125, weight_decay=0.5),
        Adam(n=33, lr=0.1, beta1=0.0),
    ),
}
