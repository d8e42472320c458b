"""Small ragged problems of losses and of dropout."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.angular_loss import AngularSoftmax
from dlbench.ops.classification_loss import CrossEntropyLoss, HingeLoss, NllLoss, ZeroOneLoss
from dlbench.ops.dropout import Dropout
from dlbench.ops.loss import L1Loss, MseLoss
from dlbench.ops.metric_loss import CenterLoss, ContrastiveLoss, TripletLoss
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "mse_loss": (MseLoss(n=1025), MseLoss(n=1)),
    "l1_loss": (L1Loss(n=1025),),
    "zero_one_loss": (ZeroOneLoss(rows=33, cols=7), ZeroOneLoss(rows=3, cols=1)),
    "hinge_loss": (HingeLoss(rows=9, cols=33), HingeLoss(rows=3, cols=2)),
    "cross_entropy": (CrossEntropyLoss(rows=9, cols=33), CrossEntropyLoss(rows=3, cols=1)),
    "nll_loss": (NllLoss(rows=9, cols=33), NllLoss(rows=1, cols=5)),
    "contrastive_loss": (ContrastiveLoss(n=9, dim=33), ContrastiveLoss(n=5, dim=3, margin=2.5)),
    "triplet_loss": (TripletLoss(n=9, dim=33), TripletLoss(n=5, dim=3, margin=0.5)),
    "center_loss": (CenterLoss(n=9, dim=17, classes=4), CenterLoss(n=3, dim=5, classes=11)),
    "angular_softmax": (AngularSoftmax(n=9, dim=17, classes=7), AngularSoftmax(n=3, dim=2, classes=5)),
    "dropout": (Dropout(n=1025), Dropout(n=4099, p=0.1)),
}
