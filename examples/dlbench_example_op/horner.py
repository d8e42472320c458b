"""Two ways to compute the example's op: `dlbench run polynomial.yaml` in this folder."""

import torch

import dlbench


@dlbench.implements("polynomial", variant="horner")
def horner(problem: dlbench.Problem, x: torch.Tensor, c: torch.Tensor):
    """Horner's scheme: as many passes over x as there are degrees."""
    *lower, highest = c.unbind()

    def call() -> torch.Tensor:
        y = highest.expand_as(x)
        for coefficient in reversed(lower):
            y = torch.addcmul(coefficient, y, x)
        return y

    return call


@dlbench.implements("polynomial", variant="powers")
def powers(problem: dlbench.Problem, x: torch.Tensor, c: torch.Tensor):
    """All powers at once, in a table that is then multiplied by the coefficients."""
    exponents = torch.arange(len(c), device=x.device)
    return lambda: (x[:, None] ** exponents) @ c
