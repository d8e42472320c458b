"""The Problem: an Op with a dtype, a direction and a data distribution."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np

from dlbench.ops.dtypes import DTYPES, Array
from dlbench.ops.op import Direction, Distribution, Op


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to compute, the same for every backend."""

    op: Op
    dtype: str = "float32"
    direction: Direction = "forward"
    data: Distribution = "normal"

    @property
    def label(self) -> str:
        """What a reader calls it: the op's name and its parameters."""
        return f"{self.op.name} {self.op.label()}"

    @property
    def params(self) -> str:
        """The op's parameters as canonical JSON; those of `later` only where they are not at their defaults."""
        fields = type(self.op).model_fields
        told = {
            name: value
            for name, value in self.op.model_dump().items()
            if name not in self.op.later or value != fields[name].default
        }
        return json.dumps(told, sort_keys=True)

    @property
    def key(self) -> str:
        """A stable identity: equal problems have equal keys in every process and version."""
        return f"{self.op.name}|{self.params}|{self.dtype}|{self.direction}|{self.data}"

    @property
    def flops(self) -> int:
        """Floating-point operations of one call."""
        return self.op.flops(self.direction)

    @property
    def traffic(self) -> int:
        """Compulsory bytes of one call."""
        return self.op.traffic(self.direction, DTYPES[self.dtype].itemsize)

    @property
    def input_bytes(self) -> int:
        """Bytes of the input tensors."""
        return self.op.input_bytes(self.direction, DTYPES[self.dtype].itemsize)

    def format(self, tensor: str) -> str:
        """Return the dtype in which an input or output is held in memory."""
        return self.op.formats(self.direction).get(tensor, DTYPES[self.dtype].storage)

    def inputs(self, seed: int = 0) -> dict[str, Array]:
        """Return the seeded inputs: the same in every process for the same problem and seed."""
        digest = hashlib.sha256(f"{seed}|{self.key}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        return self.op.make_inputs(self.direction, self.dtype, self.data, rng)
