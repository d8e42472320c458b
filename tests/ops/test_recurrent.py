from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.op import DISTRIBUTIONS, Direction, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import PARAMETERS, Gru, Lstm, RecurrentOp, Rnn, SequenceOp
from dlbench.ops.recurrent_cell import CellOp, GruCell, LstmCell, RnnCell
from dlbench.ops.tolerance import tolerance
from dlbench.runner import verify

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
SIZES: dict[str, Any] = {"batch": 3, "input_size": 4, "hidden_size": 6}
CELLS: tuple[CellOp, ...] = (
    RnnCell(**SIZES),
    RnnCell(**SIZES, nonlinearity="relu"),
    LstmCell(**SIZES),
    GruCell(**SIZES),
)
LAYERS: tuple[SequenceOp, ...] = (
    Rnn(steps=20, **SIZES),
    Rnn(steps=20, **SIZES, layers=2, bidirectional=True, nonlinearity="relu"),
    Lstm(steps=20, **SIZES, layers=2, bidirectional=True),
    Gru(steps=20, **SIZES, layers=2, bidirectional=True),
)
EVERY: tuple[RecurrentOp, ...] = (*LAYERS, *CELLS)


@st.composite
def layers(draw: st.DrawFn) -> SequenceOp:
    """Every parameter varies."""
    few = st.integers(1, 4)
    sizes: dict[str, Any] = {
        name: draw(few) for name in ("steps", "batch", "input_size", "hidden_size", "layers")
    } | {"bidirectional": draw(st.booleans())}
    if draw(st.booleans()):
        return draw(st.sampled_from((Lstm, Gru)))(**sizes)
    return Rnn(**sizes, nonlinearity=draw(st.sampled_from(("tanh", "relu"))))


def answers(op: RecurrentOp, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def torchs_module(op: RecurrentOp) -> Any:
    """torch's module with the op's parameters, in float64."""
    sizes, extra = (op.input_size, op.hidden_size), {}
    if isinstance(op, Rnn | RnnCell):
        extra["nonlinearity"] = op.nonlinearity
    if isinstance(op, CellOp):
        kind = {"rnn_cell": torch.nn.RNNCell, "lstm_cell": torch.nn.LSTMCell, "gru_cell": torch.nn.GRUCell}
        return kind[op.name](*sizes, dtype=torch.float64, **extra)
    assert isinstance(op, SequenceOp)
    layered = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    deep: Any = {"num_layers": op.layers, "bidirectional": op.bidirectional}
    return layered[op.name](*sizes, dtype=torch.float64, **deep, **extra)


def torchs_names(module: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the module's parameters under the op's names, in the module's order."""
    return {
        name.replace("weight_", "w_").replace("bias_", "b_"): tuple(parameter.shape)
        for name, parameter in module.named_parameters()
    }


def torchs_answers(op: RecurrentOp, inputs: dict[str, Array]) -> dict[str, Array]:
    """What torch's module gives for the inputs, and autograd for the outputs' gradients among them."""
    module = torchs_module(op)
    parameters = dict(zip(op.weight_shapes, module.parameters(), strict=True))
    for name, parameter in parameters.items():
        parameter.data = torch.from_numpy(inputs[name].copy())
    data = {name: torch.from_numpy(inputs[name]).requires_grad_() for name in op.data_shapes}
    first = tuple(data[f"{state}0"] for state in op.states)
    result = module(data["x"], first if len(first) > 1 else first[0])
    flat = result if isinstance(op, CellOp) else (result[0], *_tuple(result[1]))
    found = dict(zip(op.forward_outputs, _tuple(flat), strict=True))
    upstream = [torch.from_numpy(inputs[f"d{name}"]) for name in found if f"d{name}" in inputs]
    if not upstream:
        return {name: one.detach().numpy() for name, one in found.items()}
    leaves = data | parameters
    gradients = torch.autograd.grad(list(found.values()), list(leaves.values()), upstream)
    return {f"d{name}": one.numpy() for name, one in zip(leaves, gradients, strict=True)}


def _tuple(one: Any) -> tuple[Any, ...]:
    return one if isinstance(one, tuple) else (one,)


def error(values: dict[str, Array], reference: dict[str, Array]) -> float:
    """The largest error of any output, as a multiple of its root mean square."""
    assert set(values) == set(reference)
    return max(
        float(np.abs(values[name] - one).max() / (np.sqrt(np.mean(one**2)) or 1.0))
        for name, one in reference.items()
    )


def test_a_unit_of_a_worked_example() -> None:
    """2·3 + 1/2 of the input and -1·5 + 1/4 of the state."""
    op = RnnCell(input_size=1, hidden_size=1, nonlinearity="relu")
    inputs = {"x": [[2.0]], "h0": [[5.0]], "w_ih": [[3.0]], "w_hh": [[-1.0]], "b_ih": [0.5], "b_hh": [0.25]}
    given = {name: np.array(values) for name, values in inputs.items()}
    assert op.reference("forward", given) == {"h": 1.75}


def test_gates_without_weights_are_half_open() -> None:
    """An LSTM then halves its c, of which it shows half the tanh; a GRU halves its h."""
    for cell, expected in ((LstmCell(**SIZES), 0.5 * np.tanh(1.5)), (GruCell(**SIZES), 1.5)):
        inputs = {name: np.zeros(shape) for name, shape in cell.inputs("forward").items()}
        inputs |= {name: np.full((3, 6), 3.0) for name in ("h0", "c0") if name in inputs}
        np.testing.assert_allclose(cell.reference("forward", inputs)["h"], expected, rtol=1e-15)


@given(layers(), st.sampled_from(DIRECTIONS))
def test_layers_are_torchs(op: SequenceOp, direction: Direction) -> None:
    inputs, found = answers(op, direction)
    assert error(found, torchs_answers(op, inputs)) < 1e-12


@pytest.mark.parametrize("op", CELLS, ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_cells_are_torchs(op: CellOp, direction: Direction) -> None:
    inputs, found = answers(op, direction)
    assert error(found, torchs_answers(op, inputs)) < 1e-12


@given(layers())
def test_weights_have_torchs_names_shapes_and_order(op: SequenceOp) -> None:
    assert list(op.weight_shapes.items()) == list(torchs_names(torchs_module(op)).items())


@pytest.mark.parametrize("op", CELLS, ids=str)
def test_weights_of_cells_have_torchs_names_shapes_and_order(op: CellOp) -> None:
    assert list(op.weight_shapes.items()) == list(torchs_names(torchs_module(op)).items())


@given(layers())
def test_shapes_are_those_that_are_declared(op: SequenceOp) -> None:
    for direction in DIRECTIONS:
        inputs, found = answers(op, direction)
        assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
        assert {name: values.shape for name, values in found.items()} == op.outputs(direction)


@settings(max_examples=20)
@given(layers())
def test_flops_are_those_of_the_products_as_torch_counts_them(op: SequenceOp) -> None:
    """On the meta device torch composes its layers of products; the way back is counted with the way there."""
    module = torchs_module(op).to("meta")
    data = [torch.empty(shape, device="meta", dtype=torch.float64) for shape in op.data_shapes.values()]
    x, *first = (one.requires_grad_() for one in data)
    with FlopCounterMode(display=False) as forward:
        y, last = module(x, tuple(first) if len(first) > 1 else first[0])
    with FlopCounterMode(display=False) as backward:
        (y.sum() + sum(one.sum() for one in _tuple(last))).backward()
    assert op.flops("forward") == forward.get_total_flops()
    assert op.flops("backward") == backward.get_total_flops()


def test_flops_of_a_known_layer() -> None:
    """4 gates of 6 units, of 4 + 6 terms each for 3 samples of 5 steps."""
    op = Lstm(steps=5, **SIZES)
    assert op.flops("forward") == 2 * 4 * 6 * (4 + 6) * 3 * 5
    assert op.flops("backward") == 2 * op.flops("forward")


def test_flops_of_a_second_layer_are_of_both_directions_below() -> None:
    one, two = (Gru(steps=5, **SIZES, layers=layers, bidirectional=True) for layers in (1, 2))
    assert two.flops("forward") - one.flops("forward") == 2 * (2 * 3 * 6 * (12 + 6) * 3 * 5)


def test_traffic_is_each_tensor_once() -> None:
    op = LstmCell(**SIZES)
    x, state, weights = 3 * 4, 3 * 6, 4 * 6 * (4 + 6 + 1 + 1)
    assert op.traffic("forward", 4) == 4 * (x + 2 * state + weights + 2 * state)
    assert op.traffic("backward", 2) == 2 * (2 * (x + 2 * state + weights) + 2 * state)


def test_the_tolerance_grows_with_the_steps_and_the_longest_sums() -> None:
    op = Gru(steps=5, **SIZES, layers=2, bidirectional=True)
    assert (op.roundings("forward"), op.roundings("backward")) == (10 + 2, 2 * (10 + 2))
    assert op.reduction_length("forward") == 12 + 6
    assert op.reduction_length("backward") == 12 + 6 + 3 * 6 + 5 * 3
    assert GruCell(**SIZES).roundings("forward") == 1 + 2


@pytest.mark.parametrize("op", EVERY, ids=str)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_the_nearest_answer_in_the_dtype_passes(op: RecurrentOp, data: Distribution) -> None:
    for direction in DIRECTIONS:
        for dtype in FLOATS:
            problem = Problem(op, dtype, direction, data)
            right = op.reference(direction, problem.inputs())
            nearest = {name: rounded(values, dtype) for name, values in right.items()}
            assert error(nearest, right) <= tolerance(problem) / 2


@pytest.mark.parametrize("data", ["normal", "uniform", "integers"])
@pytest.mark.parametrize("kind", [Rnn, Lstm, Gru])
def test_states_neither_grow_nor_vanish(kind: Any, data: Distribution) -> None:
    op = kind(steps=200, batch=2, input_size=32, hidden_size=32)
    y = op.reference("forward", Problem(op, data=data).inputs())["y"]
    spread = y.std(axis=(1, 2))
    assert 0.05 < spread[-50:].min() <= spread.max() < 1


@pytest.mark.parametrize("data", ["normal", "uniform", "integers"])
def test_no_unit_of_relu_is_near_its_kink(data: Distribution) -> None:
    """A unit that is on has a sum well above 0. What is off shows none: its own must be below what the biases could mend."""
    op = Rnn(
        steps=50, batch=8, input_size=64, hidden_size=64, layers=2, bidirectional=True, nonlinearity="relu"
    )
    inputs = Problem(op, data=data).inputs()
    y = op.reference("forward", inputs)["y"]
    lifted = inputs | {name: values + 1 for name, values in inputs.items() if name.startswith("b_ih_l1")}
    assert y[y > 0].min() > 1
    assert np.array_equal(op.reference("forward", lifted)["y"] > 0, y > 0)
    assert 0.3 < np.mean(y > 0) < 0.7


def exchanged(op: RecurrentOp, inputs: dict[str, Array]) -> dict[str, Array]:
    """The inputs with the first two gates of every weight exchanged."""
    rows = np.arange(op.gates * op.hidden_size).reshape(op.gates, -1)
    order = rows[[1, 0, *range(2, op.gates)]].ravel()
    return {name: values[order] if name in op.weight_shapes else values for name, values in inputs.items()}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "op", [Lstm(steps=20, **SIZES), Gru(steps=20, **SIZES), LstmCell(**SIZES), GruCell(**SIZES)]
)
def test_exchanged_gates_are_caught(op: RecurrentOp, dtype: str) -> None:
    problem = Problem(op, dtype)
    inputs = problem.inputs()
    wrong = op.reference("forward", exchanged(op, inputs))
    assert error(wrong, op.reference("forward", inputs)) > tolerance(problem)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", [Rnn, Lstm, Gru])
def test_a_second_direction_that_is_not_reversed_is_caught(kind: Any, dtype: str) -> None:
    both, one = kind(steps=20, **SIZES, bidirectional=True), kind(steps=20, **SIZES)
    problem = Problem(both, dtype)
    inputs = problem.inputs()
    second = {name.removesuffix("_reverse"): values for name, values in inputs.items() if "reverse" in name}
    states = {f"{name}0": inputs[f"{name}0"][1:] for name in both.states}
    along = one.reference("forward", {"x": inputs["x"], **states, **second})
    right = both.reference("forward", inputs)
    wrong = dict(right) | {"y": np.concatenate([right["y"][..., :6], along["y"]], axis=-1)}
    assert error(wrong, right) > tolerance(problem)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", EVERY, ids=str)
@pytest.mark.parametrize("missing", PARAMETERS)
def test_a_weight_that_is_left_out_is_caught(op: RecurrentOp, missing: str, dtype: str) -> None:
    problem = Problem(op, dtype)
    inputs = problem.inputs()
    without = {name: 0 * values if name.startswith(missing) else values for name, values in inputs.items()}
    error_of_it = error(op.reference("forward", without), op.reference("forward", inputs))
    assert error_of_it > 1000 * tolerance(problem)


def test_gradients_cut_off_after_one_step_are_caught() -> None:
    """The last states' gradients, had they not gone back beyond the last step."""
    op = Lstm(steps=20, **SIZES)
    problem = Problem(op, "float32", "backward")
    inputs, cut = problem.inputs(), op.model_copy(update={"steps": 1})
    right = op.reference("backward", inputs)
    short = inputs | {name: inputs[name][-1:] for name in ("x", "dy")}
    wrong = right | {"dw_hh_l0": cut.reference("backward", short)["dw_hh_l0"]}
    assert error(wrong, right) > 1000 * tolerance(problem)


def test_the_reference_is_computed_once_for_all_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Direction] = []
    honest = Lstm.reference

    def reference(op: Lstm, direction: Direction, inputs: Any) -> dict[str, Array]:
        calls.append(direction)
        return honest(op, direction, inputs)

    monkeypatch.setattr(Lstm, "reference", reference)
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", 1)
    problem = Problem(Lstm(steps=5, **SIZES), direction="backward")
    verify.Verifier(problem, problem.inputs())
    assert calls == ["backward"]


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (Lstm(steps=25, batch=32, input_size=512, hidden_size=256), "25×32×512 → 256"),
        (
            Gru(steps=2, input_size=3, hidden_size=4, layers=2, bidirectional=True),
            "2×1×3 → 4, 2 layers bidirectional",
        ),
        (Rnn(steps=2, input_size=3, hidden_size=4, nonlinearity="relu"), "2×1×3 → 4 relu"),
        (RnnCell(batch=2, input_size=3, hidden_size=4, nonlinearity="relu"), "2×3 → 4 relu"),
        (GruCell(batch=2, input_size=3, hidden_size=4), "2×3 → 4"),
    ],
)
def test_the_label_is_steps_batch_inputs_and_state(op: RecurrentOp, label: str) -> None:
    assert op.label() == label


@given(layers(), layers())
def test_different_layers_have_different_labels(one: SequenceOp, other: SequenceOp) -> None:
    assert ((one.name, one.label()) == (other.name, other.label())) == (one == other)
