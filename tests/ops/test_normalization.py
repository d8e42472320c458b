from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ragged.normalization import RAGGED

from dlbench.backends import numpy
from dlbench.backends import torch as torch_backend
from dlbench.backends.backend import tensors_of
from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.normal import EPS
from dlbench.ops.normalization import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    RmsNorm,
)
from dlbench.ops.op import DISTRIBUTIONS, Direction, Op
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn import functional

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
few, extents = st.integers(1, 4), st.integers(2, 5)
images = {"n": few, "c": few, "h": extents, "w": extents}
reals = st.floats(0, 2)
norms: st.SearchStrategy[Op] = st.one_of(
    st.builds(BatchNorm, **images, training=st.booleans()),
    st.builds(
        lambda n, groups, each, h, w: GroupNorm(n=n, c=groups * each, h=h, w=w, groups=groups),
        few, few, few, extents, extents,
    ),
    st.builds(InstanceNorm, **images),
    st.builds(LayerNorm, rows=few, cols=st.integers(3, 40)),
    st.builds(RmsNorm, rows=few, cols=st.integers(2, 40)),
    st.builds(
        LocalResponseNorm, **images, size=st.integers(1, 7), alpha=reals, beta=reals, k=st.floats(0.5, 2)
    ),
)  # fmt: skip
EVERY = [op for some in RAGGED.values() for op in some]


def by_torch(op: Op, given_: dict[str, torch.Tensor]) -> torch.Tensor:
    x, weight, bias = (given_.get(name) for name in ("x", "weight", "bias"))
    assert x is not None
    match op:
        case BatchNorm():
            mean, variance = given_.get("running_mean"), given_.get("running_var")
            return functional.batch_norm(x, mean, variance, weight, bias, op.training, eps=EPS)
        case GroupNorm():
            return functional.group_norm(x, op.groups, weight, bias, EPS)
        case InstanceNorm():
            return functional.instance_norm(x, None, None, weight, bias, True, eps=EPS)
        case LayerNorm():
            return functional.layer_norm(x, [op.cols], weight, bias, EPS)
        case RmsNorm():
            return functional.rms_norm(x, [op.cols], weight, EPS)
        case LocalResponseNorm():
            return functional.local_response_norm(x, op.size, op.alpha, op.beta, op.k)
    raise TypeError(op)


def checked(problem: Problem, call: Callable[..., Any]) -> float:
    """What verification makes of a call that is given numpy's tensors."""
    backend = numpy.SPEC.load()("cpu", 1)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, lambda: call(*tensors))


def reference(op: Op, **inputs: Any) -> dict[str, Array]:
    direction: Direction = "backward" if any(name.startswith("d") for name in inputs) else "forward"
    return op.reference(direction, {name: np.array(value, float) for name, value in inputs.items()})


def test_a_layer_of_a_worked_example() -> None:
    y = reference(LayerNorm(rows=1, cols=4), x=[[1, 2, 3, 6]], weight=[1, 1, 1, 2], bias=[0, 0, 0, 10])["y"]
    np.testing.assert_allclose(y, np.array([[-2, -1, 0, 6]]) / math.sqrt(3.5) + [0, 0, 0, 10], rtol=1e-5)


def test_a_root_mean_square_of_a_worked_example() -> None:
    y = reference(RmsNorm(rows=1, cols=4), x=[[1, 3, 1, 5]], weight=[1, 1, 2, 3])["y"]
    np.testing.assert_allclose(y, [[1 / 3, 1, 2 / 3, 5]], rtol=1e-5)


def test_a_batch_is_normalised_channel_by_channel() -> None:
    x = [[[[0, 2]], [[10, 10]]], [[[4, 6]], [[10, 50]]]]
    y = reference(BatchNorm(n=2, c=2, h=1, w=2), x=x, weight=[1, 1], bias=[0, 1])["y"]
    np.testing.assert_allclose(y[:, 0].ravel(), np.array([-3, -1, 1, 3]) / math.sqrt(5), rtol=1e-5)
    np.testing.assert_allclose(y[:, 1].ravel(), 1 + np.array([-1, -1, -1, 3]) / math.sqrt(3), rtol=1e-5)


def test_inference_takes_the_statistics_that_it_is_given() -> None:
    op = BatchNorm(c=1, h=1, w=2, training=False)
    y = reference(op, x=[[[[3, 7]]]], weight=[2], bias=[1], running_mean=[5], running_var=[4])["y"]
    np.testing.assert_allclose(y, [[[[-1, 3]]]], rtol=1e-5)


def test_a_group_is_of_channels_and_an_instance_of_one() -> None:
    x = [[[[0, 2]], [[4, 6]], [[0, 0]], [[0, 4]]]]
    ones = {"weight": np.ones(4), "bias": np.zeros(4)}
    grouped = reference(GroupNorm(c=4, h=1, w=2, groups=2), x=x, **ones)["y"]
    np.testing.assert_allclose(grouped[0, :2].ravel(), np.array([-3, -1, 1, 3]) / math.sqrt(5), rtol=1e-5)
    alone = reference(InstanceNorm(c=1, h=1, w=3), x=[[[[1, 2, 3]]]], weight=[3], bias=[1])["y"]
    np.testing.assert_allclose(alone.ravel(), 1 + np.array([-1, 0, 1]) * 3 / math.sqrt(2 / 3), rtol=1e-4)


def test_neighbouring_channels_share_their_response() -> None:
    op = LocalResponseNorm(
        c=3, h=1, w=1, size=2, alpha=4.0, beta=1.0, k=1.0
    )  # of the channel before and itself
    y = reference(op, x=[[[[1]], [[2]], [[3]]]])["y"]
    np.testing.assert_allclose(y.ravel(), [1 / 3, 2 / (1 + 2 * 5), 3 / (1 + 2 * 13)])


def test_the_constants_of_alexnet_are_the_defaults() -> None:
    op = LocalResponseNorm(n=128, c=96, h=55, w=55)
    assert (op.size, op.alpha, op.beta, op.k) == (5, 1e-4, 0.75, 2.0)


@given(norms)
@settings(max_examples=80)
def test_both_directions_are_torchs(op: Op) -> None:
    inputs = Problem(op, "float64").inputs()
    leaves = {name: torch.tensor(value) for name, value in inputs.items()}
    wanted = [name.removeprefix("d") for name in op.outputs("backward")]
    y = by_torch(op, leaves | {name: leaves[name].requires_grad_() for name in wanted})
    np.testing.assert_allclose(
        op.reference("forward", inputs)["y"], y.detach().numpy(), rtol=1e-9, atol=1e-11
    )
    dy = np.random.default_rng(0).standard_normal(y.shape)
    expected = torch.autograd.grad(y, [leaves[name] for name in wanted], torch.tensor(dy))
    known = inputs | {"dy": dy}
    answer = op.reference("backward", {name: known[name] for name in op.inputs("backward")})
    for name, gradient in zip(wanted, expected, strict=True):
        scale = np.abs(gradient.numpy()).max()
        np.testing.assert_allclose(answer[f"d{name}"], gradient.numpy(), rtol=1e-6, atol=1e-8 * scale)


@given(norms, st.sampled_from(DIRECTIONS))
@settings(max_examples=60)
def test_single_outputs_are_those_of_the_whole(op: Op, direction: Direction) -> None:
    inputs = Problem(op, "float64", direction).inputs()
    for name, whole in op.reference(direction, inputs).items():
        positions = np.random.default_rng(0).permutation(whole.size)
        found = op.reference_at(direction, inputs, name, positions)
        np.testing.assert_allclose(
            found, whole.ravel()[positions], rtol=1e-9, atol=1e-9 * np.abs(whole).max()
        )


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("op", EVERY, ids=str)
def test_every_distribution_gives_finite_answers(op: Op, data: Any, direction: Direction) -> None:
    problem = Problem(op, "float32", direction, data)
    assert all(np.isfinite(value).all() for value in op.reference(direction, problem.inputs()).values())


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_a_running_variance_is_at_least_1(data: Any, direction: Direction) -> None:
    inputs = Problem(BatchNorm(c=64, h=2, w=2, training=False), "bfloat16", direction, data).inputs()
    assert inputs["running_var"].min() >= 1
    assert list(inputs)[-2:] == ["running_mean", "running_var"]


def test_a_uniform_gradient_is_of_either_sign_and_x_is_not() -> None:
    inputs = Problem(LayerNorm(rows=64, cols=64), "float16", "backward", "uniform").inputs()
    assert -0.5 <= inputs["dy"].min() < -0.4 < 0.4 < inputs["dy"].max() <= 0.5
    assert inputs["x"].min() >= 0
    assert (inputs["dy"] == inputs["dy"].astype(np.float16)).all()


PER_ELEMENT = [
    (BatchNorm(n=2, c=3, h=4, w=5), 7, 9),
    (BatchNorm(n=2, c=3, h=4, w=5, training=False), 4, 6),
    (GroupNorm(n=2, c=3, h=4, w=5, groups=1), 7, 10),
    (InstanceNorm(n=2, c=3, h=4, w=5), 7, 9),
    (LayerNorm(rows=6, cols=20), 7, 13),
    (RmsNorm(rows=6, cols=20), 4, 9),
    (LocalResponseNorm(n=2, c=3, h=4, w=5), 10, 12),
]


@pytest.mark.parametrize(("op", "forward", "backward"), PER_ELEMENT, ids=str)
def test_operations_are_counted_per_element(op: Op, forward: int, backward: int) -> None:
    assert [op.flops(direction) for direction in DIRECTIONS] == [120 * forward, 120 * backward]


@pytest.mark.parametrize(
    ("op", "forward", "backward"),
    [
        (BatchNorm(n=2, c=3, h=4, w=5), 2 * 120 + 2 * 3, 3 * 120 + 3 * 3),
        (BatchNorm(n=2, c=3, h=4, w=5, training=False), 2 * 120 + 4 * 3, 3 * 120 + 5 * 3),
        (LayerNorm(rows=6, cols=20), 2 * 120 + 2 * 20, 3 * 120 + 3 * 20),
        (RmsNorm(rows=6, cols=20), 2 * 120 + 20, 3 * 120 + 2 * 20),
        (LocalResponseNorm(n=2, c=3, h=4, w=5), 2 * 120, 3 * 120),
    ],
    ids=str,
)
def test_every_input_is_read_and_every_output_written_once(op: Op, forward: int, backward: int) -> None:
    assert [op.traffic(direction, 2) for direction in DIRECTIONS] == [2 * forward, 2 * backward]


def test_labels_say_the_shape_and_what_differs() -> None:
    assert [op.label() for op, _, _ in PER_ELEMENT] == [
        "2×3×4×5", "2×3×4×5 inference", "2×3×4×5 in 1 groups", "2×3×4×5", "6×20", "6×20", "2×3×4×5, size 5",
    ]  # fmt: skip
    other = LocalResponseNorm(c=3, h=4, w=5, size=3, alpha=0.5, k=1.0)
    assert other.label() == "1×3×4×5, size 3 alpha 0.5 k 1"


@pytest.mark.parametrize(
    ("kind", "parameters", "complaint"),
    [
        (GroupNorm, {"c": 6, "h": 2, "w": 2, "groups": 4}, "6 channels do not divide into 4 groups"),
        (
            GroupNorm,
            {"c": 4, "h": 1, "w": 1, "groups": 4},
            "a group has 1 elements, and its gradient needs 3",
        ),
        (BatchNorm, {"n": 2, "c": 4, "h": 1, "w": 1}, "batch_norm 2×4×1×1: a group has 2 elements"),
        (InstanceNorm, {"n": 9, "c": 4, "h": 1, "w": 2}, "a group has 2 elements, and its gradient needs 3"),
        (LayerNorm, {"rows": 9, "cols": 2}, "layer_norm 9×2: a group has 2 elements"),
        (RmsNorm, {"rows": 9, "cols": 1}, "a group has 1 elements, and its gradient needs 2"),
    ],
)
def test_parameters_that_make_no_sense_are_named(kind: Any, parameters: Any, complaint: str) -> None:
    with pytest.raises(ProblemError, match=complaint):
        kind(**parameters)


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"beta": math.inf}, {"k": 0.0}, {"size": 0}])
def test_constants_that_could_divide_by_0_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LocalResponseNorm(c=3, h=4, w=5, **wrong)


def test_inference_takes_a_single_element_and_adds_nothing_up() -> None:
    op = BatchNorm(c=4, h=1, w=1, training=False)
    assert op.reduction_length("forward") == 1
    assert op.crest("forward") == pytest.approx(math.sqrt(2 * math.log(5)))


@pytest.mark.parametrize(("rows", "cols"), [(4096, 4), (4096, 9), (512, 768)])
def test_the_smallest_variance_is_about_as_small_as_is_allowed_for(rows: int, cols: int) -> None:
    op = LayerNorm(rows=rows, cols=cols)
    variances = np.random.default_rng(0).standard_normal((rows, cols)).var(axis=1)
    smallest = variances.min() / np.median(variances)
    allowed = (op.crest("forward") / math.sqrt(2 * math.log(cols + 1))) ** -2
    assert 0.2 < allowed / smallest < 5
    assert op.crest("backward") / op.crest("forward") == pytest.approx(allowed**-0.5)


def test_the_tolerance_of_a_transformers_layer_is_small() -> None:
    problem = Problem(LayerNorm(rows=4096, cols=768))
    assert tolerance(problem) < 2e-4


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        (op, dtype)
        for op in EVERY
        for dtype in ("float32", "bfloat16")
        if "NHWC" in op.layouts and not (dtype == "bfloat16" and isinstance(op, LocalResponseNorm))
    ],
    ids=str,
)
def test_torch_normalises_channels_last_images_as_well(op: Op, direction: Direction, dtype: str) -> None:
    backend, problem = torch_backend.SPEC.load()("cpu", 1), Problem(op, dtype, direction)
    inputs = problem.inputs()
    tensors = [
        backend.laid_out(one, "NHWC") if one.ndim == 4 else one
        for one in tensors_of(backend, problem, inputs)
    ]
    with backend.activate("library"):
        call = backend.find(problem, "library", layout="NHWC").prepare(problem, *tensors)
        Verifier(problem, inputs).check(backend, tensors, call)


def test_16_bit_weights_of_a_batch_are_held_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(functional, "batch_norm", lambda *given_, **_: seen.extend(given_))
    problem = Problem(BatchNorm(c=3, h=4, w=5, training=False), "float16")
    backend = torch_backend.SPEC.load()("cpu", 1)
    tensors = tensors_of(backend, problem, problem.inputs())
    backend.find(problem, "library").prepare(problem, *tensors)()
    assert [one.dtype for one in seen[:5]] == [torch.float16, *[torch.float32] * 4]


def statistics(x: Array, axes: Any, *, unbiased: bool = False) -> tuple[Array, Array]:
    mean = x.mean(axis=axes, keepdims=True)
    return mean, np.sqrt(x.var(axis=axes, keepdims=True, ddof=int(unbiased)) + x.dtype.type(EPS))


def layer(x: Array, weight: Array, bias: Array) -> Array:
    mean, deviation = statistics(x, 1)
    return (x - mean) / deviation * weight + bias


def unbiased(x: Array, weight: Array, bias: Array) -> Array:
    mean, deviation = statistics(x, 1, unbiased=True)
    return (x - mean) / deviation * weight + bias


def without_the_last_column(x: Array, weight: Array, bias: Array) -> Array:
    mean, deviation = statistics(x[:, :-1], 1)
    return (x - mean) / deviation * weight + bias


def of_running_statistics(x: Array, weight: Array, bias: Array) -> Array:
    return (
        x * weight[:, None, None] + bias[:, None, None]
    )  # a mean of 0 and a variance of 1, as training begins


def of_each_image(x: Array, weight: Array, bias: Array) -> Array:
    mean, deviation = statistics(x, (2, 3))
    return (x - mean) / deviation * weight[:, None, None] + bias[:, None, None]


def statistics_that_take_nothing_off(x: Array, dy: Array, weight: Array) -> tuple[Array, ...]:
    mean, deviation = statistics(x, 1)
    standard = (x - mean) / deviation
    return dy * weight / deviation, (dy * standard).sum(axis=0), dy.sum(axis=0)


def weights_without_the_last_row(x: Array, dy: Array, weight: Array) -> tuple[Array, ...]:
    answer = LayerNorm(rows=x.shape[0], cols=x.shape[1]).reference(
        "backward", {"x": x, "dy": dy, "weight": weight}
    )
    mean, deviation = statistics(x, 1)
    short = (dy * (x - mean) / deviation)[:-1].sum(axis=0)
    return tuple(one.astype(x.dtype) for one in (answer["dx"], short, answer["dbias"]))


def alpha_undivided(x: Array) -> Array:
    op = LocalResponseNorm(c=x.shape[1], h=1, w=1, alpha=5 * 0.5)
    y: Array = x / op.denominators(x).astype(x.dtype) ** x.dtype.type(0.75)
    return y


WRONG = [
    (LayerNorm(rows=33, cols=9), "forward", unbiased),
    (LayerNorm(rows=33, cols=129), "forward", without_the_last_column),
    (BatchNorm(n=4, c=8, h=7, w=7), "forward", of_running_statistics),
    (BatchNorm(n=4, c=8, h=7, w=7), "forward", of_each_image),
    (LayerNorm(rows=33, cols=129), "backward", statistics_that_take_nothing_off),
    (LayerNorm(rows=33, cols=129), "backward", weights_without_the_last_row),
    (LocalResponseNorm(c=32, h=5, w=5, alpha=0.5), "forward", alpha_undivided),
]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(("op", "direction", "wrong"), WRONG, ids=lambda one: getattr(one, "__name__", ""))
def test_a_wrong_implementation_is_caught(
    op: Op, direction: Direction, wrong: Any, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    with pytest.raises(WrongAnswerError, match="instead of"):
        checked(Problem(op, "float32", direction), wrong)


def test_the_same_without_the_mistake_passes() -> None:
    assert checked(Problem(LayerNorm(rows=33, cols=129)), layer) < 1e-6


def test_a_norm_that_loses_its_bias_is_caught_in_16_bits_too() -> None:
    op = LayerNorm(rows=64, cols=768)
    problem = Problem(op, "bfloat16")
    inputs = problem.inputs()
    error = np.abs(inputs["bias"]).max() / np.sqrt(np.mean(op.reference("forward", inputs)["y"] ** 2))
    assert error > 5 * tolerance(problem)
