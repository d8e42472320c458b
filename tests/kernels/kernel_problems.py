"""Small ragged problems for every kernel: around the edges of tiles and blocks."""

from __future__ import annotations

from hypothesis import strategies as st
from op_strategies import convolutions

from dlbench.ops.activation import Gelu, LeakyRelu
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op

edges = st.sampled_from([1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 129]) | st.integers(1, 140)
few = st.integers(1, 3)


OPS = ops()


def an_op(name: str, **parameters: float) -> Op:
    """Return an op by its name."""
    return OPS[name].model_validate(parameters)


@st.composite
def wide_convolutions(draw: st.DrawFn) -> Conv2d:
    """Enough channels, filters and pixels for several tiles."""
    groups, r, s, pad = draw(st.integers(1, 2)), draw(few), draw(few), draw(st.integers(0, 2))
    return Conv2d(
        n=draw(st.integers(1, 2)),
        c=groups * draw(st.integers(1, 70)),
        h=3 + draw(st.integers(0, 5)),
        w=3 + draw(st.integers(0, 5)),
        k=groups * draw(st.integers(1, 70)),
        r=r,
        s=s,
        stride=draw(few),
        stride_w=draw(st.none() | few),
        pad=pad,
        groups=groups,
    )


matmuls = st.builds(
    Matmul, m=edges, n=edges, k=edges, batch=few, trans_a=st.booleans(), trans_b=st.booleans()
)


def by_rows(name: str, variant: str) -> st.SearchStrategy[Op]:
    """More rows than a block has threads where a thread takes a row, more columns where a block does."""
    if variant == "naive":
        return st.builds(OPS[name], rows=st.integers(1, 5) | st.integers(250, 600), cols=st.integers(1, 40))
    return st.builds(OPS[name], rows=st.integers(1, 5), cols=st.integers(1, 40) | st.integers(250, 600))


def problems_of(name: str, variant: str) -> st.SearchStrategy[Op]:
    """Return ragged problems for an op's kernels."""
    if name == "conv2d":
        return convolutions() | wide_convolutions()
    if name == "matmul":
        return matmuls
    if name in {"softmax", "log_softmax", "sum"}:
        return by_rows(name, variant)
    if name == "transpose":
        return st.builds(OPS[name], rows=edges, cols=edges)
    elements = st.integers(1, 40) | st.integers(1000, 5000)
    if name == "leaky_relu":
        return st.builds(LeakyRelu, n=elements, slope=st.sampled_from([0.0, 0.01, 0.5]))
    if name == "gelu":
        return st.builds(Gelu, n=elements, approximate=st.booleans())
    return st.builds(OPS[name], n=elements)
