"""Dropout, whose output is random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dlbench.ops.dtypes import Array
from dlbench.ops.elements import OverElements
from dlbench.ops.op import Direction, Distribution, Shape

DEVIATIONS = 6.0
"""By how many standard deviations a count may be off. A random mask is off by more with a probability of at most
2 exp(-6²/2), once in 33 million times."""
LAGS = tuple(2**power for power in range(11))
"""The distances, 1 to 1024, at which elements must not go together: those at which a mask repeats itself whose generator
gives the elements of a vector, or the threads of a block, the same numbers."""


class Dropout(OverElements):
    """y = x / (1 - p) at n · (1 - p) of n random places and 0 elsewhere, as in training; mask is true at these places.

    (N. Srivastava et al., Dropout, 2014, scaled while training.) The mask is new in every call. Backward,
    dx = dy / (1 - p) where the mask is true. Two operations for each element, the comparison of a random number with p and
    the product (backward the product with the mask and with the factor); the random numbers are not counted. mask takes a
    byte for each element.
    """

    name: ClassVar[str] = "dropout"
    summary: ClassVar[str] = "dropout in training"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    random: ClassVar[bool] = True
    operations: ClassVar[Mapping[Direction, int]] = {"forward": 2, "backward": 2}

    p: Annotated[float, Field(ge=0, lt=1)] = 0.5

    def label(self) -> str:
        """Return the number of elements, and a p that is not 0.5."""
        usual = self.p == type(self).model_fields["p"].default
        return super().label() if usual else f"{super().label()} p {self.p:g}"

    @property
    def factor(self) -> float:
        """What the elements that stay are multiplied by: 1 / (1 - p)."""
        return 1 / (1 - self.p)

    def crest(self, direction: Direction) -> float:  # noqa: ARG002 - in both
        """Return how much farther the elements that stay stand out than normal numbers, since the others are 0."""
        return math.sqrt(self.factor)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x; backward, dy and mask."""
        return dict.fromkeys(("x",) if direction == "forward" else ("dy", "mask"), (self.n,))

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y and mask, or dx."""
        return dict.fromkeys(("y", "mask") if direction == "forward" else ("dx",), (self.n,))

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - in both
        """Return that mask is one."""
        return {"mask": "bool"}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; a mask that is given is true with probability 1 - p."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if "mask" in inputs:
            inputs["mask"] = np.where(rng.random(self.n) >= self.p, 1.0, 0.0)
        return inputs

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return zeros, as `seen` gives them for a right answer; backward, dx."""
        if direction == "forward":
            return {name: np.zeros(inputs["x"].shape) for name in ("y", "mask")}
        return {"dx": inputs["dy"] * inputs["mask"] * self.factor}

    def seen(
        self, direction: Direction, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """Return for y how far it is from what its mask makes of x, in root mean squares of that; for mask, zeros."""
        if direction != "forward":
            return outputs
        expected = outputs["mask"] * inputs["x"] * self.factor
        scale = math.sqrt(np.mean(expected**2)) or 1.0
        return {"y": (outputs["y"] - expected) / scale, "mask": np.zeros(self.n)}

    def complaint(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],  # noqa: ARG002 - the mask alone is looked at
        outputs: Mapping[str, Array],
    ) -> str:
        """Return what speaks against the mask's being random: its count, or elements that go together."""
        if direction != "forward":
            return ""
        mask, kept = outputs["mask"] != 0, 1 - self.p
        count, expected = int(mask.sum()), self.n * kept
        if abs(count - expected) > allowed(self.n * kept * self.p):
            return f"output mask keeps {count} of {self.n} elements; with p = {self.p:g} about {expected:.0f} are to stay"
        for lag in (lag for lag in LAGS if lag < self.n):
            together = _together(mask, lag, kept)
            if abs(together) > allowed((self.n - lag) * (kept * self.p) ** 2):
                more = "more" if together > 0 else "less"
                return f"output mask is not random: elements {lag} apart are alike far {more} often than by chance"
        return ""


def allowed(variance: float) -> float:
    """Return how far a sum of random terms may be from what is expected, each of them at most 1 off.

    By Bernstein's inequality it is off by t with a probability of at most 2 exp(-t² / (2 variance + 2 t / 3)) (S. Boucheron,
    G. Lugosi & P. Massart, Concentration Inequalities, 2013, section 2.8). This is the t where that is 2 exp(-6² / 2):
    little more than 6 standard deviations where these are many elements, and 0 where there is nothing random.
    """
    linear = DEVIATIONS**2 / 6
    return linear + math.sqrt(linear**2 + DEVIATIONS**2 * variance) if variance else 0.0


def _together(mask: np.ndarray[tuple[int], np.dtype[np.bool_]], lag: int, kept: float) -> float:
    """Return the sum of (mask[i] - kept) (mask[i + lag] - kept); by chance it is about 0."""
    one, other = mask[:-lag], mask[lag:]
    both = int(np.count_nonzero(one & other))
    return both - kept * (int(one.sum()) + int(other.sum())) + kept**2 * one.size
