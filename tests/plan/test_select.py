"""`--only` keeps the cases that match every pattern."""

from __future__ import annotations

import itertools

import pytest

from dlbench.errors import SelectionError
from dlbench.plan.case import Case
from dlbench.plan.config import Config
from dlbench.plan.sweep import cases, select

KNOWN = {"numba": ("naive",), "torch": ("library", "native")}


@pytest.fixture(scope="module")
def planned() -> list[Case]:
    config = Config.model_validate(
        {
            "variants": ["numba:naive", "torch:library", "torch:native"],
            "sweeps": [
                {"op": "conv2d", "suite": "resnet50", "dtype": ["float32", "float64"]},
                {
                    "op": "matmul",
                    "params": {"m": [1, 2], "n": 3, "k": 4, "trans_a": [True, False]},
                    "cache": "cold",
                },
            ],
        }
    )
    return list(cases(config, ("cpu",), KNOWN))


CHOICES = {
    ("torch:*",): 2 * (46 + 4),
    ("variant=torch:native",): 46 + 4,
    ("variant=n*",): 2 * (46 + 4),
    ("backend=numba",): 46 + 4,
    ("op=matmul",): 3 * 4,
    ("matmul",): 3 * 4,
    ("layer=res2*",): 3 * 2 * 4,
    ("conv1",): 3 * 2,
    ("suite=resnet50",): 3 * 46,
    ("suite=",): 3 * 4,
    ("dtype=float64",): 3 * 23,
    ("direction=forward", "cache=cold"): 3 * 4,
    ("device=cpu", "data=normal"): 3 * (46 + 4),
    ("c=3",): 3 * 2,
    ("c=3|2048",): 3 * 2 * 2,
    ("stride=2",): 3 * 2 * 7,
    ("trans_a=true",): 3 * 2,
    ("stride_w=null", "numba:*"): 46,
    ("problem=*, 7×7*",): 3 * 2,
    ("layer=res2*", "torch:library", "dtype=float32"): 4,
}


@pytest.mark.parametrize(("only", "kept"), CHOICES.items(), ids=[" ".join(only) for only in CHOICES])
def test_patterns_keep_so_many_cases(planned: list[Case], only: tuple[str, ...], kept: int) -> None:
    assert len(list(select(planned, only))) == kept


@pytest.mark.parametrize(
    ("only", "kept"),
    [("suite=deepbench_gemm", 4 + 1), ("suite=deepbench_gemm/train", 4), ("suite=*/inference_device", 1)],
)
def test_a_suite_is_met_by_its_name_alone_or_with_the_part(only: str, kept: int) -> None:
    where = {"layer": ["train_000", "train_001", "train_002", "train_005", "inference_device_003"]}
    sweep = {"op": "matmul", "suite": "deepbench_gemm", "where": where}
    config = Config.model_validate({"variants": "torch:library", "sweeps": [sweep]})
    assert len(list(select(cases(config, ("cpu",), KNOWN), [only]))) == kept


def test_no_pattern_keeps_every_case_in_its_order(planned: list[Case]) -> None:
    assert list(select(planned, [])) == planned


def test_several_patterns_keep_what_each_keeps(planned: list[Case]) -> None:
    each = [{case.key for case in select(planned, [only])} for only in ("torch:*", "c=64", "dtype=float64")]
    together = {case.key for case in select(planned, ["torch:*", "c=64", "dtype=float64"])}
    assert together == set.intersection(*each) != set()


@pytest.mark.parametrize(
    ("only", "message"),
    [
        (["dtype=float33"], "--only dtype=float33 matches no case; there is float32, float64"),
        (
            ["torch:*", "variant=fast"],
            "--only variant=fast matches no case; there is numba:naive, naive, torch:library, library, torch:native, native",
        ),
        (["trans_a=yes"], "--only trans_a=yes matches no case; there is true, false"),
        (
            ["op=matmul", "layer=conv1"],
            "no case matches --only op=matmul --only layer=conv1 together, though each matches some",
        ),
        (["layr=conv1"], "--only layr=conv1: no column `layr`; did you mean `layer`?"),
        (["rows=3"], "--only rows=3 matches no case; there is nothing in that column"),
    ],
)
def test_patterns_that_keep_nothing_say_what_there_is(
    planned: list[Case], only: list[str], message: str
) -> None:
    with pytest.raises(SelectionError) as caught:
        list(select(planned, only))
    assert str(caught.value) == message


def test_a_long_list_of_what_there_is_is_cut(planned: list[Case]) -> None:
    with pytest.raises(SelectionError, match=r"there is conv1, res2a_branch1, .*, …$"):
        list(select(planned, ["layer=fc"]))


def test_no_cases_at_all_is_an_error() -> None:
    with pytest.raises(SelectionError, match="there are no cases"):
        list(select([], []))


def test_cases_are_chosen_as_they_come(planned: list[Case]) -> None:
    endless = itertools.cycle(planned)
    assert [str(case.variant) for case in itertools.islice(select(endless, ["torch:native"]), 2)] == [
        "torch:native"
    ] * 2
