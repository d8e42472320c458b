"""What the user's own Python files bring to a plan, as a process has found it in them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dlbench.api import Plan
from dlbench.errors import ConfigError, SelectionError
from dlbench.ops.function import Function
from dlbench.plan.case import Variant
from dlbench.plan.config import Config, load_config
from dlbench.plan.files import Offer, PythonFile, check_benchmarks, homes, with_own
from dlbench.plan.sweep import cases

KNOWN = {"numpy": ("library",), "torch": ("library", "native")}
MINE = Variant("torch", "mine")
GOOD = PythonFile("/own/good.py", (Offer("matmul", MINE),))
FAILED = PythonFile("/own/failed.py", failure="failed.py cannot be imported")
SORTS = PythonFile(
    "/own/sorts.py", functions=tuple(Function(function="my_sort", params={"n": n}) for n in (8, 64))
)


def config(variants: Sequence[str] = ("torch:library", "torch:mine"), **changes: Any) -> Config:
    sweep = {"op": "matmul", "params": {"m": 2, "n": 3, "k": 4}}
    return Config.model_validate({"name": "own", "variants": list(variants), "sweeps": [sweep]} | changes)


def plan(wanted: Config, *files: PythonFile, **changes: Any) -> Plan:
    return Plan(wanted, ("cpu",), changes.pop("only", ()), files, **changes)


class TestImplementations:
    def test_a_variant_stands_in_the_files_that_hold_it(self) -> None:
        other = PythonFile("/own/other.py", (Offer("softmax", MINE),))
        assert homes(config(), KNOWN, [GOOD, other]) == {MINE: ("/own/good.py", "/own/other.py")}

    def test_an_unknown_variant_is_taken_to_stand_in_the_files_that_failed(self) -> None:
        wanted = config(["torch:library", "torch:mine", "torch:lost"])
        assert homes(wanted, KNOWN, [GOOD, FAILED]) == {
            MINE: ("/own/good.py",),
            Variant("torch", "lost"): ("/own/failed.py",),
        }

    def test_where_no_file_failed_an_unknown_variant_is_a_mistake(self) -> None:
        wanted = config(["torch:library", "torch:mine", "torch:lost"])
        known = with_own(KNOWN, homes(wanted, KNOWN, [GOOD]))
        with pytest.raises(ConfigError, match="torch has no variant `lost`"):
            list(cases(wanted, ("cpu",), known))

    def test_an_unknown_backend_is_a_mistake_though_a_file_failed(self) -> None:
        wanted = config(["torch:library", "jax:mine"])
        known = with_own(KNOWN, homes(wanted, KNOWN, [FAILED]))
        with pytest.raises(ConfigError, match="no backend `jax`"):
            list(cases(wanted, ("cpu",), known))

    def test_the_users_variants_have_workers_of_their_own(self) -> None:
        wanted = config(**{"import": ["/own/good.py"]})
        found = list(plan(wanted, GOOD).cases())
        assert [(str(case.variant), case.files) for case in found] == [
            ("torch:library", ()),
            ("torch:mine", ("/own/good.py",)),
        ]

    @pytest.mark.parametrize(
        ("offers", "message"),
        [
            ((), "import: mine.py holds no implementation\n  write one, such as\n  import dlbench"),
            (
                (Offer("matmull", MINE),),
                "import: mine.py: no op `matmull`\n  did you mean `matmul`?",
            ),
            (
                (Offer("matmul", Variant("torhc", "mine")),),
                "import: mine.py: no backend `torhc`\n  did you mean `torch`?",
            ),
            (
                (Offer("matmul", Variant("torch", "library")),),
                "import: mine.py: torch has a variant `library` of its own\n  give yours another name",
            ),
            (
                (Offer("matmul", Variant("numpy", "other")),),
                (
                    "import: mine.py holds numpy:other, and no `variants` names it\n"
                    "  write variants: [torch:library, numpy:other]"
                ),
            ),
        ],
    )
    def test_a_file_that_cannot_be_meant_so_is_a_mistake(
        self, offers: tuple[Offer, ...], message: str
    ) -> None:
        with pytest.raises(ConfigError) as raised:
            homes(config(), KNOWN, [PythonFile("/own/mine.py", offers)])
        assert str(raised.value).startswith(message)


class TestBenchmarks:
    def test_each_function_is_a_case_of_the_files_own(self) -> None:
        wanted = Config.model_validate({"benchmarks": ["/own/sorts.py"]})
        found = list(plan(wanted, SORTS).cases())
        assert [
            (case.problem.label, str(case.variant), case.device, case.files, case.problem.params)
            for case in found
        ] == [
            ("my_sort n=8", "python:sorts", "cpu", ("/own/sorts.py",), '{"n": 8}'),
            ("my_sort n=64", "python:sorts", "cpu", ("/own/sorts.py",), '{"n": 64}'),
        ]
        assert [(case.problem.dtype, case.problem.direction, case.problem.data) for case in found] == [
            ("", "", "")
        ] * 2
        assert len({case.key for case in found}) == 2
        assert plan(wanted, SORTS).total == 2

    def test_the_same_benchmark_of_two_files_is_one_problem(self) -> None:
        other = PythonFile("/own/other.py", functions=SORTS.functions)
        wanted = Config.model_validate(
            {"benchmarks": ["/own/sorts.py", "/own/other.py"], "baseline": "python:sorts"}
        )
        found = list(plan(wanted, SORTS, other).cases())
        assert len({case.group for case in found}) == 2
        assert len({case.key for case in found}) == 4
        assert {case.baseline for case in found} == {"python:sorts"}

    def test_a_file_that_failed_is_a_case_of_its_own(self) -> None:
        wanted = Config.model_validate({"benchmarks": ["/own/sorts.py", "/own/failed.py"]})
        found = list(plan(wanted, SORTS, FAILED).cases())
        assert [(case.problem.label, case.files) for case in found][2:] == [("failed", ("/own/failed.py",))]

    def test_benchmarks_stand_beside_sweeps(self) -> None:
        wanted = config(["torch:library"], benchmarks=["/own/sorts.py"])
        assert [case.problem.op.name for case in plan(wanted, SORTS).cases()] == [
            "matmul",
            "my_sort",
            "my_sort",
        ]
        assert plan(wanted, SORTS).total == 3

    def test_a_file_without_a_benchmark_is_told_what_to_write(self) -> None:
        with pytest.raises(ConfigError) as raised:
            check_benchmarks(config(), [PythonFile("/own/empty.py")])
        assert str(raised.value).startswith("benchmarks: empty.py holds no benchmark\n  write one, such as")
        assert "@dlbench.benchmark" in str(raised.value)
        with pytest.raises(ConfigError, match="it holds torch:mine: a config names it under `import`"):
            check_benchmarks(config(), [GOOD])

    def test_two_files_of_one_name_are_a_mistake(self) -> None:
        other = PythonFile("/elsewhere/sorts.py", functions=SORTS.functions)
        with pytest.raises(ConfigError, match="two files are called sorts"):
            check_benchmarks(config(), [SORTS, other])

    @pytest.mark.parametrize(
        ("chosen", "labels"),
        [
            ({"filter": "sort"}, ["my_sort n=8", "my_sort n=64"]),
            ({"filter": "^my.*=8$"}, ["my_sort n=8"]),
            ({"only": ("n=64",)}, ["my_sort n=64"]),
            ({"only": ("variant=sorts", "op=my_*"), "filter": "64"}, ["my_sort n=64"]),
        ],
    )
    def test_cases_are_chosen_by_name_and_by_argument(
        self, chosen: dict[str, Any], labels: list[str]
    ) -> None:
        wanted = Config.model_validate({"benchmarks": ["/own/sorts.py"]})
        assert [case.problem.label for case in plan(wanted, SORTS, **chosen).cases()] == labels

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"filter": "tros"}, "--filter tros matches no case; there is my_sort n=8, my_sort n=64"),
            ({"filter": "("}, "--filter (: no regular expression: missing ), unterminated subpattern"),
            ({"only": ("howmany=64",)}, "--only howmany=64: no column `howmany`"),
        ],
    )
    def test_what_chooses_nothing_is_a_mistake(self, chosen: dict[str, Any], message: str) -> None:
        wanted = Config.model_validate({"benchmarks": ["/own/sorts.py"]})
        with pytest.raises(SelectionError) as raised:
            list(plan(wanted, SORTS, **chosen).cases())
        assert str(raised.value).startswith(message)


class TestConfig:
    def test_paths_are_meant_from_the_configs_own_folder(self, tmp_path: Path) -> None:
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "a.py").touch()
        (tmp_path / "b.py").touch()
        path = tmp_path / "own" / "c.yaml"
        path.write_text("import: a.py\nbenchmarks: [../b.py]\n")
        found = load_config(path)
        assert found.imports == (str(tmp_path / "own" / "a.py"),)
        assert found.benchmarks == (str(tmp_path / "b.py"),)
        assert found.files == (str(tmp_path / "own" / "a.py"), str(tmp_path / "b.py"))

    def test_an_override_is_meant_from_the_current_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "own").mkdir()
        (tmp_path / "b.py").touch()
        path = tmp_path / "own" / "c.yaml"
        path.write_text("benchmarks: [a.py]\n")
        monkeypatch.chdir(tmp_path)
        assert load_config(path, ["benchmarks=b.py"]).benchmarks == (str(tmp_path / "b.py"),)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import: [gone.py]\nbenchmarks: [b.py]\n", "1: import: no such file: {folder}/gone.py"),
            ("benchmarks: [b.txt]\n", "1: benchmarks[0]: `b.txt` is not a Python file, such as my_conv.py"),
            ("benchmarks: []\n", "1: benchmarks: the list is empty"),
            ("import: [b.py]\n", "1: `sweeps` is missing"),
        ],
    )
    def test_a_mistake_is_named_with_its_line(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "b.py").touch()
        path = tmp_path / "c.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load_config(path)
        assert str(raised.value) == f"{path}:{message.format(folder=tmp_path)}"

    def test_a_python_file_is_the_config_that_measures_it(self, tmp_path: Path) -> None:
        path = tmp_path / "my sorts.py"
        path.touch()
        found = load_config(path, ["measure.visit=1s"])
        assert (found.name, found.benchmarks, found.sweeps) == ("my-sorts", (str(path),), ())
        assert found.measure.visit == 1.0
        assert found.on(["cuda:0"]).sweeps == ()
        again = Config.model_validate_json(found.model_dump_json(by_alias=True))
        assert again.model_dump() == found.model_dump()
        with pytest.raises(ConfigError, match="gone.py: no such file"):
            load_config(tmp_path / "gone.py")
