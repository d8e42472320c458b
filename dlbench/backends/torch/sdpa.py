"""The back ends of torch's scaled_dot_product_attention: one of them switched on, and whether it takes the inputs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import torch
from torch import _fused_sdp_choice  # tells what no public function does, without computing it
from torch.nn.attention import SDPBackend, sdpa_kernel

from dlbench.errors import UnsupportedError

BACK_ENDS: Mapping[str, SDPBackend] = MappingProxyType(
    {
        "math": SDPBackend.MATH,
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
    }
)
"""By the variant that is computed by nothing else."""
ONLY_ON_CUDA = ("efficient", "cudnn")
NOT_A_REASON = re.compile(r"disabled|not used because|^$")
"""What torch says of the back ends that were switched off here, and before its reasons."""
ORIGIN = re.compile(r" \(Triggered internally at .*", re.DOTALL)


@contextmanager
def only(variant: str) -> Iterator[None]:
    """Leave torch the variant's back end alone; do nothing for a variant that is none.

    The flags are set once for a case rather than in each call, where they take microseconds, and through them torch pads
    and groups the heads as it does for everybody: its operators for single back ends leave that to the caller.
    """
    if variant not in BACK_ENDS:
        yield
        return
    with sdpa_kernel(BACK_ENDS[variant]):
        yield


def require(
    variant: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, grouped: bool
) -> None:
    """Raise UnsupportedError, with torch's reason, unless the variant's back end is what torch chooses for the inputs.

    To be asked with that back end alone switched on.
    """
    if variant in ONLY_ON_CUDA and q.device.type != "cuda":
        raise UnsupportedError(f"no `{variant}` on {q.device}: this back end of attention is CUDA's")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            chosen = _fused_sdp_choice(q, k, v, is_causal=causal, enable_gqa=grouped)
        except RuntimeError as error:
            chosen, failure = SDPBackend.ERROR.value, str(error)
        else:
            failure = f"it chooses {SDPBackend(chosen).name}"
    if chosen != BACK_ENDS[variant].value:
        told = (ORIGIN.sub("", str(one.message)) for one in said)
        reasons = "; ".join(reason for reason in told if not NOT_A_REASON.search(reason))
        raise UnsupportedError(f"torch has no `{variant}` attention for this: {reasons or failure}")
