"""Small ragged problems of network."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {}
