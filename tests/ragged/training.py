"""Small ragged problems of training steps."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.perceptron import MlpStep, PerceptronStep
from dlbench.ops.reinforcement import DqnStep

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "perceptron_step": (
        PerceptronStep(n=5, in_features=7),
        PerceptronStep(n=3, in_features=4, out_features=6),
    ),
    "mlp_step": (
        MlpStep(n=5, in_features=7, hidden_size=6, classes=3, layers=2),
        MlpStep(n=4, in_features=3, hidden_size=1, classes=5, layers=0),
    ),
    "dqn_step": (
        DqnStep(memory=11, batch=4, state_size=5, hidden_size=7, actions=3),
        DqnStep(memory=2, batch=5, state_size=3, hidden_size=4, actions=1),
    ),
}
