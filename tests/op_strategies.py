"""Hypothesis strategies for ops of small ragged shapes."""

from __future__ import annotations

from hypothesis import strategies as st

from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul

small = st.integers(1, 7)


@st.composite
def convolutions(draw: st.DrawFn) -> Conv2d:
    """Every parameter varies, and the kernel always fits."""
    extent, few = st.integers(1, 4), st.integers(1, 3)
    groups, dilation, pad, pad_w = draw(few), draw(few), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    r, s = draw(extent), draw(extent)
    return Conv2d(
        n=draw(few),
        c=groups * draw(few),
        h=max(1, dilation * (r - 1) + 1 - 2 * pad) + draw(st.integers(0, 4)),
        w=max(1, dilation * (s - 1) + 1 - 2 * pad_w) + draw(st.integers(0, 4)),
        k=groups * draw(few),
        r=r,
        s=s,
        stride=draw(few),
        stride_w=draw(st.none() | few),
        pad=pad,
        pad_w=pad_w,
        dilation=dilation,
        groups=groups,
    )


matmuls = st.builds(
    Matmul, m=small, n=small, k=small, batch=st.integers(1, 3), trans_a=st.booleans(), trans_b=st.booleans()
)


@st.composite
def attentions(draw: st.DrawFn) -> Attention:
    """Every parameter varies; a causal one has as many queries as keys."""
    causal, seq_k = draw(st.booleans()), draw(small)
    return Attention(
        batch=draw(st.integers(1, 3)),
        heads=draw(st.integers(1, 3)),
        seq_q=seq_k if causal else draw(small),
        seq_k=seq_k,
        dim=draw(small),
        causal=causal,
    )
