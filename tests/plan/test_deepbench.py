"""DeepBench's suites hold every problem of its lists, once each, with the operations that its tables count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from dlbench.ops.catalogue import ops
from dlbench.ops.op import Op
from dlbench.plan.suite import Suite, SuiteProblem, load_suite

PROBLEMS = {
    "deepbench_gemm": {"train": 160, "inference_server": 75, "inference_device": 13},
    "deepbench_conv": {"train": 94, "inference_server": 107, "inference_device": 16},
    "deepbench_rnn": {"train": 53, "inference_server": 69, "inference_device": 3},
    "deepbench_sparse_gemm": {"inference_server": 24, "inference_device": 8},
}
FLOPS = {
    "deepbench_gemm": {
        "train": 26_706_398_187_136,
        "inference_server": 1_797_432_942_592,
        "inference_device": 28_882_870_272,
    },
    "deepbench_conv": {
        "train": 562_504_360_960,
        "inference_server": 86_883_119_872,
        "inference_device": 1_823_997_952,
    },
    "deepbench_sparse_gemm": {"inference_server": 184_684_495_970, "inference_device": 26_205_643_790},
}
"""2·m·n·k and 2·n·k·p·q·c·r·s over each list, and 2·n for each element of a sparse matrix that is not zero."""
PUBLISHED_RNN = {
    "train": 13_727_582_979_072,
    "inference_server": 2_565_495_324_672,
    "inference_device": 80_833_536,
}
"""As DeepBench counts, the recurrent product alone, with h hidden units, for each step of each sequence: 8·h² of an LSTM,
6·h² of a GRU, 2·h² + h of its vanilla cell, whose h is no part of a product."""
DISTINCT = {
    "deepbench_gemm": {"train": 160, "inference_server": 75, "inference_device": 13},
    "deepbench_conv": {"train": 90, "inference_server": 103, "inference_device": 15},
    "deepbench_rnn": {"train": 53, "inference_server": 69, "inference_device": 3},
    "deepbench_sparse_gemm": {"inference_server": 24, "inference_device": 8},
}
"""Different shapes: some convolutions stand twice in a list."""
APPLICATIONS = {
    "deepbench_gemm": {
        "DeepSpeech": 171,
        "DeepSpeech, output layer": 26,
        "DeepSpeech, gru affine": 16,
        "DeepSpeech, gru": 9,
        "DeepSpeech, gru low rank": 8,
        "Language Modelling": 14,
        "Speaker ID": 3,
        "KWS": 1,
    },
    "deepbench_conv": {
        "Resnet": 80,
        "Vision": 45,
        "Face Recognition": 28,
        "Face Recognition, ID": 18,
        "Speaker ID": 24,
        "DeepSpeech": 14,
        "OCR": 8,
    },
    "deepbench_rnn": {
        "DeepSpeech": 80,
        "Machine Translation": 21,
        "Language Modelling": 10,
        "Character Language Modelling": 7,
        "Speaker ID": 5,
        "KWS": 2,
    },
    "deepbench_sparse_gemm": {"DeepSpeech": 32},
}


def made(suite: Suite) -> Iterator[tuple[SuiteProblem, Op]]:
    known = ops()
    return ((one, known[one.op](**one.params)) for one in suite.problems)


def by_part(suite: Suite) -> dict[str, int]:
    counted = Counter[str]()
    for one, op in made(suite):
        counted[one.part] += op.flops("forward")
    return dict(counted)


def first(name: str, layer: str) -> SuiteProblem:
    return next(one for one in load_suite(name).problems if one.layer == layer)


def test_deepbench_has_622_problems() -> None:
    assert sum(len(load_suite(name).problems) for name in PROBLEMS) == 622


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_list_has_as_many_problems_as_the_source_has(name: str) -> None:
    suite = load_suite(name)
    assert Counter(one.part for one in suite.problems) == PROBLEMS[name]
    assert {one.count for one in suite.problems} == {1}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problems_are_numbered_as_they_stand_in_the_source(name: str) -> None:
    expected = [f"{part}_{number:03}" for part, size in PROBLEMS[name].items() for number in range(size)]
    assert [one.layer for one in load_suite(name).problems] == expected


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_shape_that_a_list_repeats_is_a_row_each_time(name: str) -> None:
    shapes: dict[str, set[tuple[str, str]]] = {}
    for one, op in made(load_suite(name)):
        shapes.setdefault(one.part, set()).add((op.name, op.model_dump_json()))
    assert {part: len(found) for part, found in shapes.items()} == DISTINCT[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_keeps_the_application_that_it_is_from(name: str) -> None:
    assert Counter(one.application for one in load_suite(name).problems) == APPLICATIONS[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_a_suite_states_is_what_its_problems_come_to(name: str) -> None:
    suite = load_suite(name)
    counted = {f"{part}_flop": count for part, count in by_part(suite).items()}
    assert suite.totals == {"problems": len(suite.problems), **PROBLEMS[name], **counted}


@pytest.mark.parametrize("name", FLOPS)
def test_products_and_convolutions_have_the_operations_of_their_sizes(name: str) -> None:
    assert by_part(load_suite(name)) == FLOPS[name]


def test_recurrent_layers_compute_the_inputs_product_besides_the_recurrent_one_that_is_published() -> None:
    suite = load_suite("deepbench_rnn")
    assert Counter(one.op for one in suite.problems) == {"rnn": 14, "lstm": 38, "gru": 73}
    recurrent = {part: count // 2 for part, count in by_part(suite).items()}
    beside = {part: published - recurrent[part] for part, published in PUBLISHED_RNN.items()}
    vanilla = Counter[str]()
    for one in suite.problems:
        if one.op == "rnn":
            steps, batch, hidden = (int(one.params[key] or 0) for key in ("steps", "batch", "hidden_size"))
            vanilla[one.part] += steps * batch * hidden
    assert beside == {part: vanilla[part] for part in PUBLISHED_RNN}


def test_recurrent_layers_are_single_in_one_direction_and_as_wide_at_the_input_as_inside() -> None:
    for one in load_suite("deepbench_rnn").problems:
        assert one.params["input_size"] == one.params["hidden_size"]
        assert set(one.params) - {"nonlinearity"} == {"steps", "batch", "input_size", "hidden_size"}
        assert one.params.get("nonlinearity", "") == ("relu" if one.op == "rnn" else "")


def test_sparse_products_have_the_operations_of_what_is_not_zero() -> None:
    suite = load_suite("deepbench_sparse_gemm")
    assert Counter(one.params["sparsity"] for one in suite.problems) == {0.95: 16, 0.9: 16}
    # 2·m·n·k·(1 - sparsity), of which the op's are a little off: it has 1,926,758 elements in the place of 1,926,758.4.
    exact = {"inference_server": 184_684_500_172.8, "inference_device": 26_205_644_390.4}
    assert by_part(suite) == pytest.approx(exact, rel=1e-7)
    assert sum(one.params["m"] == 7860 for one in suite.problems) == 8  # as the code has it, not 7680


def test_the_first_of_each_kind_is_the_sources_first() -> None:
    assert first("deepbench_gemm", "train_000").params == {"m": 1760, "n": 16, "k": 1760}
    assert first("deepbench_gemm", "train_020").params == {"m": 1760, "n": 16, "k": 1760, "trans_a": True}
    shape = {"n": 4, "c": 1, "h": 161, "w": 700, "k": 32, "r": 5, "s": 20, "stride": 2}
    assert first("deepbench_conv", "train_000").params == shape
    wide = {"steps": 50, "batch": 16, "input_size": 1760, "hidden_size": 1760, "nonlinearity": "relu"}
    assert first("deepbench_rnn", "train_000").params == wide
    sparse = {"m": 7680, "n": 1, "k": 2560, "sparsity": 0.95}
    assert first("deepbench_sparse_gemm", "inference_server_000").params == sparse


def test_operands_are_stored_transposed_in_training_alone() -> None:
    stored = Counter(
        (one.part, bool(one.params.get("trans_a")), bool(one.params.get("trans_b")))
        for one in load_suite("deepbench_gemm").problems
    )
    assert stored == {
        ("train", False, False): 77,
        ("train", True, False): 73,
        ("train", False, True): 10,
        ("inference_server", False, False): 75,
        ("inference_device", False, False): 13,
    }


def test_the_thin_suite_is_the_training_lists_products_with_a_side_of_64_at_most() -> None:
    every = [one for one in load_suite("deepbench_gemm").problems if one.part == "train"]
    thin = {
        f"gemm_{one.layer}": one.params
        for one in every
        if min(int(one.params["m"] or 0), int(one.params["n"] or 0)) <= 64
    }
    assert {one.layer: one.params for one in load_suite("deepbench_gemm_thin").problems} == thin
    assert len(thin) == 72
