"""The tagger's log Z is that of all sequences of tags, one by one, scored by torch's bidirectional LSTM."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.tagger import LSTM, LstmTagger
from dlbench.ops.tolerance import tolerance
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

few = st.integers(1, 3)
taggers = st.builds(
    LstmTagger, steps=st.integers(1, 4), batch=few, vocabulary=few, dim=few, hidden_size=few, tags=few
)
Given = Mapping[str, Array]


def inputs(op: LstmTagger) -> dict[str, Array]:
    return Problem(op, "float64").inputs()


def answer(op: LstmTagger, given: Given) -> Array:
    return op.reference("forward", given)["log_z"]


def scored(op: LstmTagger, given: Given) -> Array:
    """The tags' scores at each step, by torch's modules."""
    tensors = {name: torch.from_numpy(values) for name, values in given.items()}
    embedding = torch.nn.Embedding(op.vocabulary, op.dim, dtype=torch.float64)
    embedding.load_state_dict({"weight": tensors["table"]})
    lstm = torch.nn.LSTM(op.dim, op.hidden_size, bidirectional=True, dtype=torch.float64)
    weights = {
        f"{torchs}_l0{way}": tensors[f"{name}{way}"]
        for way in ("", "_reverse")
        for name, torchs in zip(LSTM, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), strict=True)
    }
    lstm.load_state_dict(weights)
    out = torch.nn.Linear(2 * op.hidden_size, op.tags, dtype=torch.float64)
    out.load_state_dict({"weight": tensors["w_out"], "bias": tensors["b_out"]})
    with torch.no_grad():
        found: Array = out(lstm(embedding(tensors["words"].long()))[0]).numpy()
    return found


def enumerated(scores: Array, given: Given) -> list[float]:
    """log Z of each sequence, from the scores of all sequences of tags."""
    steps, batch, tags = scores.shape
    found = []
    for n in range(batch):
        totals = []
        for sequence in itertools.product(range(tags), repeat=steps):
            emitted = sum(scores[step, n, tag] for step, tag in enumerate(sequence))
            moved = sum(given["transitions"][pair] for pair in itertools.pairwise(sequence))
            totals.append(given["begin"][sequence[0]] + emitted + moved + given["end"][sequence[-1]])
        found.append(math.log(math.fsum(map(math.exp, totals))))
    return found


@given(taggers)
def test_log_z_is_that_of_all_sequences_of_tags(op: LstmTagger) -> None:
    given = inputs(op)
    np.testing.assert_allclose(
        answer(op, given), enumerated(scored(op, given), given), rtol=1e-10, atol=1e-12
    )


def test_two_steps_of_two_tags_of_a_worked_example() -> None:
    """An LSTM of no weights puts out 0: a sequence scores its biases, its transition and its ends."""
    op = LstmTagger(steps=2, vocabulary=1, dim=1, hidden_size=1, tags=2)
    given = {name: np.zeros(shape) for name, shape in op.inputs("forward").items()}
    logs: dict[str, list[Any]] = {
        "b_out": [2.0, 3.0],
        "transitions": [[1.0, 5.0], [7.0, 11.0]],
        "begin": [13.0, 17.0],
        "end": [19.0, 23.0],
    }
    given |= {name: np.log(values) for name, values in logs.items()}
    z = 13 * (4 * 1 * 19 + 6 * 5 * 23) + 17 * (6 * 7 * 19 + 9 * 11 * 23)
    assert answer(op, given) == pytest.approx([math.log(z)], rel=1e-12)


@given(taggers, st.floats(-5, 5))
def test_what_is_added_to_every_score_is_added_once_a_step(op: LstmTagger, more: float) -> None:
    given = inputs(op)
    raised = answer(op, {**given, "b_out": given["b_out"] + more})
    np.testing.assert_allclose(raised, answer(op, given) + op.steps * more, rtol=1e-10, atol=1e-10)


@given(taggers)
def test_sequences_do_not_see_one_another(op: LstmTagger) -> None:
    given = inputs(op)
    backwards = answer(op, {**given, "words": given["words"][:, ::-1]})
    np.testing.assert_allclose(backwards, answer(op, given)[::-1], rtol=1e-12)


def test_large_scores_do_not_overflow() -> None:
    op = LstmTagger(steps=3, vocabulary=2, dim=1, hidden_size=1, tags=2)
    given = inputs(op)
    assert np.isfinite(answer(op, {**given, "b_out": np.array([1e4, -1e4])})).all()


@given(taggers)
def test_shapes_are_those_that_are_declared(op: LstmTagger) -> None:
    given = inputs(op)
    assert {name: values.shape for name, values in given.items()} == op.inputs("forward")
    assert {"log_z": answer(op, given).shape} == op.outputs("forward")


@settings(max_examples=20)
@given(taggers)
def test_the_operations_are_those_that_torch_counts_cell_by_cell(op: LstmTagger) -> None:
    """Of the fused LSTM its counter sees nothing, of its cells the products."""
    cells = [torch.nn.LSTMCell(op.dim, op.hidden_size, device="meta") for _ in range(2)]
    out = torch.nn.Linear(2 * op.hidden_size, op.tags, device="meta")
    with FlopCounterMode(display=False) as counter:
        for _ in range(op.steps):
            x = torch.empty(op.batch, op.dim, device="meta")
            out(torch.cat([cell(x)[0] for cell in cells], 1))
    assert op.flops("forward") == counter.get_total_flops()


def test_counts_of_a_small_tagger() -> None:
    op = LstmTagger(steps=5, batch=3, vocabulary=11, dim=4, hidden_size=2, tags=6)
    assert op.flops("forward") == 5 * 3 * 2 * (2 * (4 * 2) * (4 + 2) + 6 * (2 * 2))
    lstm = 8 * 4 + 8 * 2 + 8 + 8
    others = 6 * 4 + 6 + 6 * 6 + 6 + 6
    assert op.parameters() == 11 * 4 + 2 * lstm + others
    assert op.activations() == 5 * 3 * (2 * (8 + 8) + 6)
    assert op.label() == "5×3 of 11 words, 4 → 2×2 → 6 tags"
    assert (op.reduction_length("forward"), op.roundings("forward")) == (4 + 3 * 2 + 6, 4 + 3 * 5)


def test_bytes_are_those_of_as_many_rows_of_the_table_as_there_are_words_at_most() -> None:
    for vocabulary, rows in ((11, 11), (1000, 15)):
        op = LstmTagger(steps=5, batch=3, vocabulary=vocabulary, dim=4, hidden_size=2, tags=6)
        weights = op.parameters() - vocabulary * 4
        assert op.traffic("forward", 4) == 8 * 5 * 3 + 4 * (rows * 4 + weights + 3)


def test_words_are_rows_of_the_table() -> None:
    op = LstmTagger(steps=40, batch=3, vocabulary=7, dim=1, hidden_size=1, tags=2)
    assert op.formats("forward") == {"words": "int64"}
    assert set(inputs(op)["words"].ravel().tolist()) == set(range(7))


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_the_table_is_of_the_distribution_and_the_weights_are_normal(data: Distribution) -> None:
    op = LstmTagger(steps=2, vocabulary=300, dim=4, hidden_size=3, tags=2)
    given = Problem(op, data=data).inputs()
    assert (np.abs(given["table"]).max() > 7) == (data == "integers")
    assert given["table"].any() == (data != "zeros")
    assert given["w_ih"].std() == pytest.approx(1 / math.sqrt(4), rel=0.5)


@pytest.mark.parametrize("bad", ["steps", "batch", "vocabulary", "dim", "hidden_size", "tags"])
def test_nothing_of_it_can_be_empty(bad: str) -> None:
    sizes = {"steps": 2, "batch": 2, "vocabulary": 2, "dim": 2, "hidden_size": 2, "tags": 2}
    with pytest.raises(ValidationError, match=bad):
        LstmTagger.model_validate(sizes | {bad: 0})


TAGGER = LstmTagger(steps=12, batch=4, vocabulary=20, dim=5, hidden_size=4, tags=5)


def right(given: Given) -> Array:
    return forward(half(given, 0) + half(given, 1), given)


def without_transitions(given: Given) -> Array:
    return answer(TAGGER, {**given, "transitions": np.zeros((5, 5))})


def with_transitions_turned(given: Given) -> Array:
    return answer(TAGGER, {**given, "transitions": given["transitions"].T})


def without_an_end(given: Given) -> Array:
    return answer(TAGGER, {**given, "end": np.zeros(5)})


def of_the_best_sequence(given: Given) -> Array:
    """Viterbi's maximum in the place of the sum."""
    scores = scored(TAGGER, given)
    best = given["begin"] + scores[0]
    for step in scores[1:]:
        best = (best[:, :, None] + given["transitions"] + step[:, None, :]).max(axis=1)
    found: Array = (best + given["end"]).max(axis=1)
    return found


def half(given: Given, way: int) -> Array:
    """What one direction adds to the tags' scores; the bias is among those of the first."""
    kept = np.repeat([way == 0, way == 1], TAGGER.hidden_size)
    return scored(TAGGER, {**given, "w_out": given["w_out"] * kept, "b_out": given["b_out"] * (way == 0)})


def not_reversed(given: Given) -> Array:
    """The second direction from the first step to the last as well."""
    behind = half({**given, "words": given["words"][::-1].copy()}, 1)[::-1]
    return forward(half(given, 0) + behind, given)


def left_in_reverse(given: Given) -> Array:
    """The second direction's states in the order in which they were computed."""
    return forward(half(given, 0) + half(given, 1)[::-1], given)


def forward(scores: Array, given: Given) -> Array:
    log_z = given["begin"] + scores[0]
    for step in scores[1:]:
        log_z = np.logaddexp.reduce(log_z[:, :, None] + given["transitions"] + step[:, None, :], axis=1)
    found: Array = np.logaddexp.reduce(log_z + given["end"], axis=1)
    return found


def prepared(compute: Callable[[Given], Array]) -> Callable[..., Any]:
    def prepare(*arrays: Any) -> Any:
        given = {
            name: array.astype(np.float64)
            for name, array in zip(TAGGER.inputs("forward"), arrays, strict=True)
        }
        return lambda: compute(given).astype(np.float32)

    return prepare


def test_an_answer_rounded_to_float32_passes() -> None:
    assert check(Problem(TAGGER), prepared(right)) < 1e-6


WRONG = [
    without_transitions,
    with_transitions_turned,
    without_an_end,
    of_the_best_sequence,
    not_reversed,
    left_in_reverse,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_tagger_is_caught(wrong: Callable[[Given], Array]) -> None:
    with pytest.raises(WrongAnswerError, match="^output log_z is "):
        check(Problem(TAGGER), prepared(wrong))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_a_tagger_without_transitions_is_caught_in_16_bits_too(dtype: str) -> None:
    problem = Problem(TAGGER, dtype)
    given = problem.inputs()
    log_z = answer(TAGGER, given)
    error = np.abs(without_transitions(given) - log_z).max() / np.sqrt(np.mean(log_z**2))
    assert error > 2 * tolerance(problem)
