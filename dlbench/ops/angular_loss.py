"""The softmax loss of angles, for learning features whose classes an angle tells apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import MOST, Extent
from dlbench.ops.indices import different
from dlbench.ops.loss import Loss
from dlbench.ops.op import Direction, Distribution, Shape
from dlbench.ops.softmax import LogSoftmax

TURNS = (math.sqrt(1 / 2), 0.0, -math.sqrt(1 / 2))
"""The cosines of 45, 90 and 135 degrees, where psi goes on to its next piece."""
TAMED = 8
"""By how much whole-numbered features are shorter: their softmax would otherwise turn the rounding error of a logit of
100 into one of a hundred times that."""


class AngularSoftmax(Loss):
    """loss = cross-entropy of the logits |x| cos(angle to w[j]), that of the label with psi in place of the cosine.

    psi(angle) = (-1)^k cos(4 angle) - 2k for angles in [k π/4, (k + 1) π/4], features x of n × dim, weights w of
    classes × dim whose rows are normalised, labels int64 (A-Softmax with m = 4; W. Liu et al., SphereFace, 2017, equation
    7). FLOPs are those of the products: 2·n·classes·dim for x wᵀ, and backward twice as many, for dx and dw, as
    torch.utils.flop_counter counts them; that backward computes x wᵀ again where nothing keeps it is not counted.
    """

    name: ClassVar[str] = "angular_softmax"
    summary: ClassVar[str] = "angular softmax loss (A-Softmax, m = 4)"
    learned: ClassVar[tuple[str, ...]] = ("x", "w")

    n: Extent
    dim: Annotated[int, Field(ge=2, le=MOST)]
    classes: Extent

    def label(self) -> str:
        """Return "128×512 → 1000"."""
        return f"{self.n}×{self.dim} → {self.classes}"

    @property
    def terms(self) -> int:
        """The features."""
        return self.n

    def tensors(self) -> dict[str, Shape]:
        """Return x, w and labels."""
        return {"x": (self.n, self.dim), "w": (self.classes, self.dim), "labels": (self.n,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - in both
        """Return that labels are indices."""
        return {"labels": "int64"}

    def flops(self, direction: Direction) -> int:
        """Return 2·n·classes·dim, backward 4."""
        return (2 if direction == "forward" else 4) * self.n * self.classes * self.dim

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return dim + classes + n: the errors of a product, of a row's sum and of the mean, or of dw, add up."""
        return self.dim + self.classes + self.n

    def roundings(self, direction: Direction) -> int:
        """Return 12: those of a norm, a unit weight, a product, a cosine, 5 of psi, its logit, the logarithm and the loss.

        Backward as many more.
        """
        return 12 if direction == "forward" else 24

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest gradient stands out than that of normal data.

        The weights of the classes that are some label have by far the largest ones.
        """
        return 1.0 if direction == "forward" else math.sqrt(self.classes / different(self.n, self.classes))

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean of the labels' negative log-probabilities."""
        rows, labels = np.arange(self.n), inputs["labels"].astype(np.intp)
        _, lengths, logits = self._logits(inputs)
        logits[rows, labels] = lengths * psi(logits[rows, labels] / lengths)
        return float(-self._logarithms(logits)[rows, labels].mean())

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return those through the softmax, the label's angle and the weights' norm."""
        x, rows, labels = inputs["x"], np.arange(self.n), inputs["labels"].astype(np.intp)
        units, lengths, logits = self._logits(inputs)
        cosines = logits[rows, labels] / lengths
        logits[rows, labels] = lengths * psi(cosines)
        slopes = np.exp(self._logarithms(logits)) / self.n
        slopes[rows, labels] -= 1 / self.n
        along = slopes[rows, labels] * (psi(cosines) - psi_slope(cosines) * cosines) / lengths
        slopes[rows, labels] *= psi_slope(cosines)
        dunits = slopes.T @ x
        dw = dunits - (dunits * units).sum(axis=1, keepdims=True) * units
        return {
            "x": slopes @ units + along[:, None] * x,
            "w": dw / np.linalg.norm(inputs["w"], axis=1, keepdims=True),
        }

    def _logits(self, inputs: Mapping[str, Array]) -> tuple[Array, Array, Array]:
        """Return the weights of length 1, the features' lengths, and |x| cos of each angle."""
        units = _normalised(inputs["w"])
        return units, np.linalg.norm(inputs["x"], axis=1), inputs["x"] @ units.T

    def _logarithms(self, logits: Array) -> Array:
        return LogSoftmax(rows=self.n, cols=self.classes).value(logits)

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random labels, weights 1 to 2 long, and features as long as random ones, turned from their label's weights.

        Their directions are random for zeros too, which have none. The angles are 60 to 75 and 105 to 120 degrees. Below 45
        the label may win, and the loss is then near 0, the small difference of larger numbers. At 45, 90 and 135 the slope
        of psi is 0, and a rounding error all there is of it; beyond 135 it falls so fast that errors of the cosine grow
        fivefold.
        """
        usual: Distribution = "normal" if distribution == "zeros" else distribution
        inputs = super().make_inputs(direction, dtype, usual, rng)
        for name in self.learned:
            inputs[name][~inputs[name].any(axis=1), 0] = 1.0
        units, labels = _normalised(inputs["w"]), rng.integers(0, self.classes, self.n)
        w = rounded(units * rng.uniform(1, 2, (self.classes, 1)), dtype)
        lengths = np.linalg.norm(inputs["x"], axis=1, keepdims=True) / (TAMED if usual == "integers" else 1)
        angles = np.radians(45 * rng.integers(1, 3, self.n) + rng.uniform(15, 30, self.n))[:, None]
        towards, aside = units[labels], rng.standard_normal((self.n, self.dim))
        aside = _normalised(aside - (aside * towards).sum(axis=1, keepdims=True) * towards)
        x = rounded(lengths * (np.cos(angles) * towards + np.sin(angles) * aside), dtype)
        return inputs | {"x": x, "w": w, "labels": labels.astype(np.float64)}


def _normalised(vectors: Array) -> Array:
    """Return the rows, each divided by its length."""
    units: Array = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


def psi(cosines: Array) -> Array:
    """Return (-1)^k cos(4 angle) - 2k of the angles with these cosines: cos(4 angle) = 8 cos⁴ - 8 cos² + 1."""
    squares = cosines**2
    return _sign(cosines) * (8 * squares * (squares - 1) + 1) - 2 * _piece(cosines)


def psi_slope(cosines: Array) -> Array:
    """Return the derivative of psi with respect to the cosine, which has no jump where the pieces meet."""
    return _sign(cosines) * 16 * cosines * (2 * cosines**2 - 1)


def _piece(cosines: Array) -> Array:
    """Return k."""
    k: Array = np.sum([cosines < turn for turn in TURNS], axis=0, dtype=np.float64)
    return k


def _sign(cosines: Array) -> Array:
    return 1 - 2 * (_piece(cosines) % 2)
