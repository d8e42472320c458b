"""Small ragged problems of differentiation."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "network_gradient": (
        NetworkGradient(width=3, batch=5, layers=3),
        NetworkGradient(width=4, batch=1, layers=1),
        NetworkGradient(width=5, batch=7),
    ),
}
