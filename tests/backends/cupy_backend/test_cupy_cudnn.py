"""cuDNN's graphs over the stand-in: what is described, which plan is run, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin_cudnn import Library, NotSupportedError, PlanOf
from standin_cupy import Card, CUDARuntimeError, OutOfMemoryError
from test_cupy_implementations import RAGGED, check, prepared

from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem

CONV = Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2)
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")


def ran(backend: Any, problem: Problem, *, layout: str = "", mode: str = "") -> tuple[Any, Any]:
    one = backend.find(problem, "cudnn", layout=layout, mode=mode)
    call, _ = prepared(backend, one, problem, layout)
    return call, call()


def described(graph: Any) -> list[tuple[list[int], list[int], str]]:
    assert graph.node is not None
    return [(one.dim, one.stride, one.data_type) for one in (*graph.inputs, graph.node[2])]


@pytest.mark.parametrize(
    ("direction", "first", "second", "result"),
    [
        (
            "forward",
            ([2, 4, 9, 7], [252, 63, 7, 1]),
            ([6, 2, 3, 2], [12, 6, 2, 1]),
            ([2, 6, 4, 5], [120, 20, 5, 1]),
        ),
        (
            "backward_data",
            ([2, 6, 4, 5], [120, 20, 5, 1]),
            ([6, 2, 3, 2], [12, 6, 2, 1]),
            ([2, 4, 9, 7], [252, 63, 7, 1]),
        ),
        (
            "backward_weight",
            ([2, 4, 9, 7], [252, 63, 7, 1]),
            ([2, 6, 4, 5], [120, 20, 5, 1]),
            ([6, 2, 3, 2], [12, 6, 2, 1]),
        ),
    ],
)
@pytest.mark.parametrize(("dtype", "kind"), [("float32", "FLOAT"), ("tf32", "FLOAT"), ("float16", "HALF")])
def test_a_convolution_is_described_by_its_shapes_strides_and_types(
    backend: Any,
    cudnn: Library,
    direction: Direction,
    first: Any,
    second: Any,
    result: Any,
    dtype: str,
    kind: str,
) -> None:
    problem = Problem(CONV, dtype, direction)
    _, output = ran(backend, problem)
    (graph,) = cudnn.graphs
    assert described(graph) == [(*one, kind) for one in (first, second, result)]
    assert graph.types == {
        "io_data_type": kind,
        "intermediate_data_type": "FLOAT",
        "compute_data_type": "FLOAT",
    }
    name, given, _ = graph.node
    assert name == direction
    assert {key: given[key] for key in ("pre_padding", "post_padding", "stride", "dilation")} == {
        "pre_padding": [1, 0],
        "post_padding": [1, 0],
        "stride": [2, 1],
        "dilation": [2, 2],
    }
    check(backend, problem, output)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", [CONV, Conv2d(n=3, c=5, h=1, w=1, k=4, r=1, s=1)])
def test_channels_last_is_told_by_the_strides_and_the_output_is_so_too(
    backend: Any, cudnn: Library, direction: Direction, op: Conv2d
) -> None:
    problem = Problem(op, "float16", direction)
    _, output = ran(backend, problem, layout="NHWC")
    (graph,) = cudnn.graphs
    for dim, stride, _ in described(graph):
        _, c, h, w = dim
        assert stride == [c * h * w, 1, c * w, c]
    check(backend, problem, output)


def test_one_channel_has_the_same_place_in_both_layouts(backend: Any, cudnn: Library) -> None:
    problem = Problem(Conv2d(c=1, h=5, w=4, k=1, r=2, s=2))
    for layout in ("", "NHWC"):
        _, output = ran(backend, problem, layout=layout)
        check(backend, problem, output)


@pytest.mark.parametrize("op", [CONV, Matmul(m=2, n=3, k=4)])
def test_tf32_is_off_unless_it_is_asked_for(backend: Any, cudnn: Library, op: Any) -> None:
    for dtype in ("float32", "tf32", "float16"):
        ran(backend, Problem(op, dtype))
    without, *others = [graph.deselected for graph in cudnn.graphs]
    assert without == ["TENSOR_CORE", "DOWN_CONVERT_INPUTS"]
    assert others == [[], []]


def test_plans_are_asked_for_in_the_order_that_cudnn_wants(backend: Any, cudnn: Library) -> None:
    ran(backend, Problem(CONV))
    assert cudnn.graphs[0].steps == ["validate", "build_operation_graph", "plans A+FALLBACK", "check_support"]


def test_a_product_has_a_batch_axis_and_views_of_what_is_stored_transposed(
    backend: Any, cudnn: Library
) -> None:
    problem = Problem(Matmul(m=7, n=5, k=3, trans_a=True, trans_b=True), "float16")
    _, output = ran(backend, problem)
    assert described(cudnn.graphs[0]) == [
        ([1, 7, 3], [21, 1, 7], "HALF"),
        ([1, 3, 5], [15, 1, 3], "HALF"),
        ([1, 7, 5], [35, 5, 1], "HALF"),
    ]
    assert output.shape == (7, 5)
    for op in RAGGED["matmul"]:
        _, output = ran(backend, Problem(op))
        check(backend, Problem(op), output)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_one_node_with_its_scale_and_mask(backend: Any, cudnn: Library, causal: bool) -> None:
    problem = Problem(Attention(batch=2, heads=3, seq_q=8, seq_k=8, dim=16, causal=causal), "float16")
    _, output = ran(backend, problem)
    name, given, _ = cudnn.graphs[0].node
    assert (name, given["attn_scale"], given["use_causal_mask"]) == ("sdpa", 0.25, causal)
    assert described(cudnn.graphs[0]) == [([2, 3, 8, 16], [384, 128, 16, 1], "HALF")] * 4
    check(backend, problem, output)


def test_attention_is_refused_in_other_dtypes(backend: Any) -> None:
    with pytest.raises(UnsupportedError) as raised:
        ran(backend, Problem(Attention(seq_q=8, seq_k=8, dim=16)))
    assert str(raised.value) == "cupy:cudnn has no float32: computes float16"


def test_the_first_plan_that_can_be_built_is_run_and_named(backend: Any, cudnn: Library) -> None:
    cudnn.plans = [
        PlanOf("eng7", refusal=NotSupportedError("no such engine")),
        PlanOf("eng3", 4096),
        PlanOf("eng0"),
    ]
    call, _ = ran(backend, Problem(CONV))
    assert call.details == {"plan": "eng3", "workspace": 4096}
    assert [name for name, _ in cudnn.ran] == ["eng3"]


def test_a_plan_runs_on_the_current_stream(backend: Any, cudnn: Library, module: Any) -> None:
    call, _ = ran(backend, Problem(CONV))
    queue = module("queue").CupyQueue(0)
    with queue.active():
        call()
    assert [stream for _, stream in cudnn.ran] == [0, queue._stream.ptr]


def test_the_workspace_is_an_array_made_once(backend: Any, cudnn: Library) -> None:
    cudnn.plans = [PlanOf("eng3", 4096)]
    problem = Problem(CONV)
    held: list[Any] = []
    one = backend.find(problem, "cudnn")
    tensors = [backend.tensor(values, "float32") for values in problem.inputs().values()]
    output_bytes = 4 * int(np.prod(CONV.y_shape))
    assert (
        backend.peak_of(lambda: held.append(one.prepare(problem, *tensors)))
        == 4096 + -(-output_bytes // 512) * 512
    )
    assert backend.peak_of(held[0]) == 0


def test_the_arrays_live_as_long_as_the_call(backend: Any, cudnn: Library) -> None:
    problem = Problem(CONV)
    call, _ = prepared(backend, backend.find(problem, "cudnn"), problem)
    assert [array.data.ptr for array in call._graph.arrays] == list(call._graph.pack.values())


@pytest.mark.parametrize("error", [NotSupportedError("no engine\nat line 3"), RuntimeError("no engine")])
def test_a_graph_that_cudnn_declines_is_unsupported_with_its_reason(
    backend: Any, cudnn: Library, error: Exception
) -> None:
    cudnn.decline = error
    with pytest.raises(UnsupportedError) as raised:
        ran(backend, Problem(CONV))
    assert str(raised.value) == "cuDNN has no plan for it: no engine"


def test_a_graph_without_a_plan_that_can_be_built_gives_every_reason(backend: Any, cudnn: Library) -> None:
    cudnn.plans = [
        PlanOf("eng7", refusal=NotSupportedError("too old a board")),
        PlanOf("eng3", refusal=ValueError("plan 1 is excluded by a note filter")),
    ]
    with pytest.raises(UnsupportedError) as raised:
        ran(backend, Problem(CONV))
    assert str(raised.value) == (
        "cuDNN built none of its 2 plans: eng7: too old a board; eng3: plan 1 is excluded by a note filter"
    )
    with pytest.raises(UnsupportedError) as raised:
        ran(backend, Problem(CONV), mode="all-plans")
    assert str(raised.value) == (
        "cuDNN ran none of its 2 plans: eng7: too old a board; eng3: plan 1 is excluded by a note filter"
    )


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'cudnn'"), RuntimeError("no cudnnGetVersion")]
)
@pytest.mark.parametrize("runtime", [13020, 12090])
def test_a_missing_cudnn_is_told_with_the_install_command(
    backend: Any, card: Card, cudnn: Library, error: Exception, runtime: int
) -> None:
    card.runtime = runtime
    cudnn.missing = error
    with pytest.raises(UnsupportedError) as raised:
        ran(backend, Problem(CONV))
    packages = f"nvidia-cudnn-frontend nvidia-cudnn-cu{runtime // 1000}"
    assert str(raised.value) == f"cuDNN cannot be loaded ({error}); pip install {packages}"


def milliseconds(*per_plan: list[float]) -> Any:
    """What the events say, five times for each plan, each of three calls."""
    return iter([3 * time for times in per_plan for time in times])


def test_every_plan_is_timed_and_the_fastest_called(backend: Any, card: Card, cudnn: Library) -> None:
    cudnn.plans = [
        PlanOf("first", 512),
        PlanOf("refused", refusal=NotSupportedError("not on this board")),
        PlanOf("fast", 1024),
        PlanOf("last"),
    ]
    card.elapsed_ms = milliseconds([2, 2, 9, 2, 1], [1, 1, 8, 1, 0.5], [4, 4, 4, 4, 4])
    call, _ = ran(backend, Problem(CONV), mode="all-plans")
    assert call.details == {
        "plans": [
            {"plan": "fast", "time_us": 1000.0, "workspace": 1024},
            {"plan": "first", "time_us": 2000.0, "workspace": 512},
            {"plan": "last", "time_us": 4000.0, "workspace": 0},
            {"plan": "refused", "reason": "not on this board"},
        ]
    }
    names = [name for name, _ in cudnn.ran]
    assert names == ["first"] * 18 + ["fast"] * 18 + ["last"] * 18 + ["fast"]


def test_a_plan_whose_workspace_does_not_fit_is_listed(
    backend: Any, card: Card, cudnn: Library, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = module("cudnn_graph")
    made = graphs.cupy.empty

    def empty(shape: Any, dtype: Any) -> Any:
        if shape == 10**15:
            raise OutOfMemoryError
        return made(shape, dtype)

    monkeypatch.setattr(graphs.cupy, "empty", empty)
    cudnn.plans = [PlanOf("greedy", 10**15), PlanOf("modest", 512)]
    card.elapsed_ms = milliseconds([1, 1, 1, 1, 1])
    call, _ = ran(backend, Problem(CONV), mode="all-plans")
    assert call.details["plans"] == [
        {"plan": "modest", "time_us": 1000.0, "workspace": 512},
        {"plan": "greedy", "reason": f"no room for its {10**15} bytes of workspace"},
    ]


@pytest.mark.parametrize(
    ("error", "raised"), [(RuntimeError("CUDNN_STATUS_NOT_SUPPORTED"), False), (CUDARuntimeError(700), True)]
)
def test_a_plan_that_fails_when_it_runs_is_listed_unless_the_device_is_lost(
    backend: Any, card: Card, cudnn: Library, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: bool
) -> None:
    import standin_cudnn

    run = standin_cudnn.Pygraph.execute_plan_at_index

    def execute(graph: Any, pack: Any, workspace: int, index: int, handle: str) -> None:
        if index == 0:
            raise error
        run(graph, pack, workspace, index, handle)

    monkeypatch.setattr(standin_cudnn.Pygraph, "execute_plan_at_index", execute)
    cudnn.plans = [PlanOf("bad"), PlanOf("good")]
    card.elapsed_ms = milliseconds([1, 1, 1, 1, 1])
    if raised:
        with pytest.raises(CUDARuntimeError):
            ran(backend, Problem(CONV), mode="all-plans")
        return
    call, _ = ran(backend, Problem(CONV), mode="all-plans")
    assert [one["plan"] for one in call.details["plans"]] == ["good", "bad"]
    assert call.details["plans"][1]["reason"] == "CUDNN_STATUS_NOT_SUPPORTED"


@pytest.mark.parametrize(
    "problem",
    [
        Problem(CONV, "float16", "backward_weight"),
        Problem(Matmul(m=2, n=3, k=4), "float16"),
        Problem(Attention(seq_q=8, seq_k=8, dim=16), "float16"),
    ],
    ids=lambda problem: problem.label,
)
def test_all_plans_is_a_mode_of_each_op_and_gives_the_same_answer(
    backend: Any, card: Card, problem: Problem
) -> None:
    card.elapsed_ms = milliseconds([1, 1, 1, 1, 1])
    _, output = ran(backend, problem, mode="all-plans")
    check(backend, problem, output)
