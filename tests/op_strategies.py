"""Hypothesis strategies for ops of small ragged shapes."""

from __future__ import annotations

from hypothesis import strategies as st

from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_nd import Conv1d, Conv3d
from dlbench.ops.conv_transpose import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    TransposedConvolution,
)
from dlbench.ops.im2col import Im2col
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


def extents(window: int, dilation: int, pad: int) -> st.SearchStrategy[int]:
    """Along one axis, inputs that the kernel fits into, with none to three places more."""
    smallest = max(1, dilation * (window - 1) + 1 - 2 * pad)
    return st.integers(smallest, smallest + 3)


@st.composite
def convolutions_1d(draw: st.DrawFn) -> Conv1d:
    """Every parameter varies, and the kernel always fits."""
    few = st.integers(1, 3)
    groups, dilation, pad, s = draw(few), draw(few), draw(st.integers(0, 3)), draw(st.integers(1, 4))
    return Conv1d(
        n=draw(few),
        c=groups * draw(few),
        w=draw(extents(s, dilation, pad)),
        k=groups * draw(few),
        s=s,
        stride=draw(few),
        pad=pad,
        dilation=dilation,
        groups=groups,
    )


@st.composite
def convolutions_3d(draw: st.DrawFn) -> Conv3d:
    """Every parameter varies, and the kernel always fits."""
    few, two = st.integers(1, 3), st.integers(1, 2)
    groups, dilation, pad = draw(two), draw(two), draw(st.integers(0, 2))
    t, r, s = draw(few), draw(few), draw(few)
    return Conv3d(
        n=draw(two),
        c=groups * draw(two),
        d=draw(extents(t, dilation, pad)),
        h=draw(extents(r, dilation, pad)),
        w=draw(extents(s, dilation, pad)),
        k=groups * draw(two),
        t=t,
        r=r,
        s=s,
        stride=draw(few),
        pad=pad,
        dilation=dilation,
        groups=groups,
    )


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> TransposedConvolution:
    """Over one to three axes, of outputs of an element at least: every parameter varies."""
    kind = draw(st.sampled_from([ConvTranspose1d, ConvTranspose2d, ConvTranspose3d]))
    few, two = st.integers(1, 3), st.integers(1, 2)
    stride, dilation, groups = draw(few), draw(few), draw(two)
    axes = {ConvTranspose1d: "ws", ConvTranspose2d: "hwrs", ConvTranspose3d: "dhwtrs"}[kind]
    sides = {name: draw(few) for name in axes}
    output_pad = draw(st.integers(0, max(stride, dilation) - 1))
    smallest = min(
        (sides[extent] - 1) * stride + dilation * (sides[tap] - 1) + output_pad + 1
        for extent, tap in zip(axes[: len(axes) // 2], axes[len(axes) // 2 :], strict=True)
    )
    made: TransposedConvolution = kind(
        n=draw(two),
        c=groups * draw(two),
        k=groups * draw(two),
        stride=stride,
        pad=draw(st.integers(0, min(2, (smallest - 1) // 2))),
        output_pad=output_pad,
        dilation=dilation,
        groups=groups,
        **sides,
    )
    return made


@st.composite
def columns(draw: st.DrawFn) -> Im2col:
    """Those of the convolutions, of one group."""
    conv = draw(convolutions())
    return Im2col(**conv.model_dump(exclude={"k", "groups"}))


matmuls = st.builds(
    Matmul,
    m=small,
    n=small,
    k=small,
    batch=st.integers(1, 3),
    trans_a=st.booleans(),
    trans_b=st.booleans(),
    alpha=st.sampled_from([1.0, -0.75, 2.0]),
    beta=st.sampled_from([0.0, 1.0, -1.5]),
)


@st.composite
def attentions(draw: st.DrawFn) -> Attention:
    """Every parameter varies; a causal one has as many queries as keys."""
    causal, seq_k, kv_heads = draw(st.booleans()), draw(small), draw(st.integers(1, 3))
    return Attention(
        batch=draw(st.integers(1, 3)),
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        seq_q=seq_k if causal else draw(small),
        seq_k=seq_k,
        dim=draw(small),
        causal=causal,
    )
