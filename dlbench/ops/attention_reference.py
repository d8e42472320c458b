"""The float64 maths of one head of attention: its output and its gradients, some queries at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlbench.ops.dtypes import Array

Rows = np.ndarray[tuple[int], np.dtype[np.intp]]
CHUNK = 2**22
"""Scores held at once, 32 MiB: those of all queries of a long sequence may not fit."""


@dataclass(frozen=True, slots=True)
class Head:
    """One head's q, k, v and, for the gradients, do.

    q and do are queries × dim, k and v keys × dim. The gradients are those of T. Dao et al., FlashAttention, 2022,
    appendix B.2.
    """

    scale: float
    causal: bool
    q: Array
    k: Array
    v: Array
    do: Array

    def chunks(self) -> Iterator[Rows]:
        """Return the queries in as many parts as their scores need."""
        queries, step = len(self.q), max(1, CHUNK // len(self.k))
        for start in range(0, queries, step):
            yield np.arange(start, min(start + step, queries))

    def weights(self, rows: Rows) -> Array:
        """Return the softmax of the scores of some queries over the keys."""
        scores = self.scale * (self.q[rows] @ self.k.T)
        if self.causal:
            scores[np.arange(len(self.k)) > rows[:, None]] = -np.inf
        powers: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
        powers /= powers.sum(axis=-1, keepdims=True)
        return powers

    def by_score(self, rows: Rows) -> tuple[Array, Array]:
        """Return the weights of some queries, and the gradient with respect to q kᵀ."""
        p, dp = self.weights(rows), self.do[rows] @ self.v.T
        return p, self.scale * p * (dp - (p * dp).sum(axis=-1, keepdims=True))

    def output(self) -> Array:
        """Return o."""
        return np.concatenate([self.weights(rows) @ self.v for rows in self.chunks()])

    def gradients(self) -> tuple[Array, Array, Array]:
        """Return dq, dk and dv."""
        dq, dk, dv = (np.zeros(one.shape) for one in (self.q, self.k, self.v))
        for rows in self.chunks():
            p, ds = self.by_score(rows)
            dq[rows] = ds @ self.k
            dk += ds.T @ self.q[rows]
            dv += p.T @ self.do[rows]
        return dq, dk, dv

    def projected(self, output: str, u: Array) -> Array:
        """Return o u, dq u, dk u or dv u, without the product that gives the whole output."""
        total = np.zeros(len(self.k))
        match output:
            case "o":
                return np.concatenate([self.weights(rows) @ (self.v @ u) for rows in self.chunks()])
            case "dq":
                return np.concatenate([self.by_score(rows)[1] @ (self.k @ u) for rows in self.chunks()])
            case "dk":
                for rows in self.chunks():
                    total += self.by_score(rows)[1].T @ (self.q[rows] @ u)
            case _:
                for rows in self.chunks():
                    total += self.weights(rows).T @ (self.do[rows] @ u)
        return total

    def elements(self, output: str, rows: Rows, columns: Rows) -> Array:
        """Return the elements of o, dq, dk or dv in these rows and columns.

        One of o or dq takes the scores of its own query, one of dk or dv those of all queries.
        """
        total: Array = np.zeros(len(rows))
        match output:
            case "o":
                total = np.einsum("nj,jn->n", self.weights(rows), self.v[:, columns])
            case "dq":
                total = np.einsum("nj,jn->n", self.by_score(rows)[1], self.k[:, columns])
            case "dk":
                for some in self.chunks():
                    total += (self.by_score(some)[1][:, rows] * self.q[some][:, columns]).sum(axis=0)
            case _:
                for some in self.chunks():
                    total += (self.weights(some)[:, rows] * self.do[some][:, columns]).sum(axis=0)
        return total
