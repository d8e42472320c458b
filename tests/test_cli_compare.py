"""`dlbench compare` as a user meets it: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pytest
from compared import layers, named, taken
from runs import failed, record, save

from dlbench import api, cli
from dlbench.analysis.table import frame
from dlbench.results import formats
from dlbench.results.compared import COMPARED, CONTRACT
from dlbench.results.measurement import Measurement, Run
from dlbench.results.store import Store

NAMES = [column.name for column in COMPARED]


class Outcome(NamedTuple):
    status: int
    printed: str
    errors: str


Command = Callable[..., Outcome]


@pytest.fixture
def dlbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["dlbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, errors = capsys.readouterr()
        assert isinstance(ended.value.code, int | None)
        return Outcome(ended.value.code or 0, printed, errors)

    return run


def keep(*runs: Run) -> None:
    """Enter runs into the user's store."""
    with Store(os.environ["DLBENCH_STORE"]) as store:
        for run in runs:
            save(store, run)


def kept(first: list[Measurement], second: list[Measurement]) -> tuple[str, str]:
    """Enter two runs and return their ids."""
    keep(named("before", first), named("after", second))
    return "before", "after"


def written(run: Run, path: Path) -> Path:
    formats.write(path, frame(run), run)
    return path


class TestSources:
    def test_runs_of_the_store_are_named_by_id_or_its_beginning(self, dlbench: Command) -> None:
        kept(layers(l=2e-3), layers(l=1e-3))
        done = dlbench("compare", "before", "aft")
        assert done.status == 0
        assert "▲ l  2.00 ms  1.00 ms  2.00× ±1.5%  faster" in done.printed
        assert done.errors == ""

    @pytest.mark.parametrize("ending", [".json", ".parquet", ".JSON"])
    def test_an_exported_file_compares_as_the_run_in_the_store_does(
        self, ending: str, tmp_path: Path, dlbench: Command
    ) -> None:
        first, second = named("before", layers(l=2e-3)), named("after", layers(l=1e-3))
        keep(first, second)
        file = written(first, tmp_path / f"old{ending}")
        stored, mixed = api.compare_runs(["before", "after"]), api.compare_runs([file, "after"])
        assert mixed.base == str(file)
        assert mixed.frame.drop(columns="base").equals(stored.frame.drop(columns="base"))
        assert str(file) in dlbench("compare", file, "after").printed.replace("\n", "")

    def test_a_run_in_a_program_does_too(self) -> None:
        runs = [api.Run(named(name, layers(l=time)), None) for name, time in (("x", 2e-3), ("y", 1e-3))]
        assert api.compare_runs(runs).frame["ratio"].tolist() == [pytest.approx(2.0)]

    def test_three_runs(self, dlbench: Command) -> None:
        keep(*(named(name, layers(l=1e-3)) for name in ("one", "two", "three")))
        assert "2 rows: 2 same" in dlbench("compare", "one", "two", "three").printed

    def test_another_store(self, tmp_path: Path, dlbench: Command) -> None:
        with Store(tmp_path / "other.db") as store:
            for name in ("one", "two"):
                save(store, named(name, layers(l=1e-3)))
        assert dlbench("compare", "one", "two", "--store", tmp_path / "other.db").status == 0


class TestExitStatus:
    def test_without_fail_on_a_regression_is_only_told(self, dlbench: Command) -> None:
        assert dlbench("compare", *kept(layers(l=1e-3), layers(l=2e-3))).status == 0

    def test_0_is_fine(self, dlbench: Command) -> None:
        done = dlbench("compare", *kept(layers(l=1e-3), layers(l=1e-3)), "--fail-on", "5%")
        assert (done.status, done.errors) == (0, "")
        assert done.printed.endswith("fine: no row is slower by more than 5 %\n")

    def test_1_is_a_regression(self, dlbench: Command) -> None:
        done = dlbench("compare", *kept(layers(l=1e-3), layers(l=2e-3)), "--fail-on", "5%")
        assert (done.status, done.errors) == (1, "regression: 1 row slower by more than 5 %\n")

    def test_1_is_a_case_that_fails_now(self, dlbench: Command) -> None:
        done = dlbench("compare", *kept(layers(l=1e-3), [failed(record(layer="l"))]), "--fail-on", "0.05")
        assert (done.status, done.errors) == (1, "regression: 1 row failed\n")

    def test_3_is_that_it_cannot_be_told(self, dlbench: Command) -> None:
        few = [taken(record(), 1e-3, rounds=3)]
        done = dlbench("compare", *kept(few, few), "--fail-on", "5%", "-q")
        assert (done.status, done.printed) == (3, "")
        assert done.errors == "inconclusive: 1 row may be slower by more than 5 %; more rounds would tell\n"

    @pytest.mark.parametrize("share", ["much", "0", "150%"])
    def test_2_is_a_mistake(self, share: str, dlbench: Command) -> None:
        done = dlbench("compare", "a", "b", "--fail-on", share)
        assert done.status == 2
        assert done.errors.startswith(f"dlbench: `{share}` is not")

    def test_quiet_prints_nothing(self, dlbench: Command) -> None:
        done = dlbench("compare", *kept(layers(l=1e-3), layers(l=1e-3)), "-q", "--fail-on", "5%")
        assert done == (0, "", "")


class TestMistakes:
    """Each is one line on stderr, and exit status 2."""

    @staticmethod
    def _error(done: Outcome) -> str:
        assert (done.status, done.printed) == (2, "")
        (line,) = done.errors.splitlines()
        return line.removeprefix("dlbench: ")

    def test_a_run_with_itself(self, dlbench: Command) -> None:
        kept(layers(l=1e-3), layers(l=1e-3))
        assert self._error(dlbench("compare", "before", "bef")) == (
            "A and B are the same run before: name two runs; `dlbench list runs` shows them"
        )

    def test_one_run(self, dlbench: Command) -> None:
        kept(layers(l=1e-3), layers(l=1e-3))
        assert self._error(dlbench("compare", "before")).startswith("one run is nothing to compare: name two")

    def test_no_common_case(self, dlbench: Command) -> None:
        ids = kept(layers(l=1e-3), [taken(record("torch:library", layer="l"), 1e-3)])
        assert self._error(dlbench("compare", *ids)) == (
            "A and B have no case in common: their variants differ (A has numba:naive; B has torch:library); "
            "`--by variant` compares these"
        )

    def test_an_unknown_field(self, dlbench: Command) -> None:
        ids = kept(layers(l=1e-3), layers(l=1e-3))
        assert self._error(dlbench("compare", *ids, "--by", "gpu")) == (
            "no comparison by `gpu`: known: backend, device, dtype, flags, layout, variant"
        )

    def test_an_unknown_run(self, dlbench: Command) -> None:
        kept(layers(l=1e-3), layers(l=1e-3))
        assert "did you mean `before`?" in self._error(dlbench("compare", "befor3", "after"))

    def test_a_file_that_is_not_there(self, tmp_path: Path, dlbench: Command) -> None:
        path = tmp_path / "x.json"
        assert self._error(dlbench("compare", path, path)) == (
            f"{path}: cannot be read (No such file or directory)"
        )

    @pytest.mark.parametrize("ending", [".json", ".parquet"])
    def test_a_truncated_file(self, ending: str, tmp_path: Path, dlbench: Command) -> None:
        path = written(named("a", layers(l=1e-3)), tmp_path / f"x{ending}")
        path.write_bytes(path.read_bytes()[:-200])
        assert str(path) in self._error(dlbench("compare", path, path))

    def test_a_file_of_another_schema_version(self, tmp_path: Path, dlbench: Command) -> None:
        path = tmp_path / "x.json"
        path.write_text('{"schema": "dlbench-run-2"}')
        assert "dlbench-run-2" in self._error(dlbench("compare", path, path))

    @pytest.mark.parametrize("text", ["", "{}", "hello", '{"schema": "dlbench-comparison-1"}'])
    def test_a_file_that_is_not_ours(self, text: str, tmp_path: Path, dlbench: Command) -> None:
        path = tmp_path / "x.json"
        path.write_text(text)
        assert str(path) in self._error(dlbench("compare", path, path))

    def test_a_file_without_samples(self, tmp_path: Path, dlbench: Command) -> None:
        path = written(named("a", layers(l=1e-3)), tmp_path / "x.csv")
        assert self._error(dlbench("compare", path, path)) == (
            f"{path}: .csv keeps no raw samples; read a file in .json or .parquet"
        )

    @pytest.mark.parametrize("name", ["x.parquet", "x.xls", "x"])
    def test_an_output_that_cannot_hold_a_comparison_before_any_work(
        self, name: str, tmp_path: Path, dlbench: Command
    ) -> None:
        path = tmp_path / name
        assert self._error(dlbench("compare", "no", "run", "-o", path)) == (
            f"{path}: a comparison cannot be `{path.suffix}`; it can be .csv, .json, .md"
        )

    def test_a_folder_that_does_not_exist(self, tmp_path: Path, dlbench: Command) -> None:
        path = tmp_path / "no" / "x.csv"
        assert "does not exist; make it first" in self._error(dlbench("compare", "a", "b", "-o", path))


class TestFiles:
    def _exported(self, dlbench: Command, path: Path, *options: str) -> str:
        first = [*layers(l=2e-3, gone=1e-3), taken(record(layer="=1+1", dtype="float64"), 1e-3)]
        second = [*layers(l=1e-3), failed(record(layer="=1+1", dtype="float64"), "crashed", "a|b")]
        done = dlbench("compare", *kept(first, second), "-o", path, *options)
        assert done.status == 0
        assert f"wrote {path}" in done.printed.replace("\n", "")
        assert list(path.parent.glob(".*part")) == []
        return path.read_text(encoding="utf-8")

    def test_csv_has_the_contracts_columns_first(self, tmp_path: Path, dlbench: Command) -> None:
        text = self._exported(dlbench, tmp_path / "x.csv")
        assert text.splitlines()[0] == ",".join(NAMES)
        assert text.startswith(
            "op,problem,dtype,direction,cache,backend,variant,device,ratio,ratio_low,ratio_high,verdict,reason,"
        )
        first, second = csv.DictReader(text.splitlines())
        assert float(first["ratio"]) == pytest.approx(2.0)
        assert (first["verdict"], first["base"], first["other"]) == ("faster", "before", "after")
        assert (second["ratio"], second["ratio_low"], second["reason"]) == ("", "", "B: crashed: a|b")
        assert second["layer"] == "'=1+1"

    def test_json_has_all_that_is_known(self, tmp_path: Path, dlbench: Command) -> None:
        content = json.loads(self._exported(dlbench, tmp_path / "x.json"))
        assert content["schema"] == "dlbench-comparison-1"
        assert (content["base"], content["others"]) == ("before", ["after"])
        assert content["columns"] == [asdict(column) for column in COMPARED]
        assert [list(row) for row in content["rows"]] == [NAMES] * 2
        assert content["rows"][1]["ratio"] is None
        assert content["means"][0]["ratio"] == pytest.approx(2.0)
        assert [row["layer"] for row in content["missing"]] == ["gone"]
        assert content["differences"] == []

    def test_markdown_has_what_varies_in_the_same_order(self, tmp_path: Path, dlbench: Command) -> None:
        text = self._exported(dlbench, tmp_path / "x.md")
        lines = text.splitlines()
        assert lines[0] == "# after against before"
        assert "- op: conv2d" in lines
        header = next(line for line in lines if line.startswith("|"))
        names = [name.strip() for name in header.strip("|").split("|")]
        assert names == [name for name in NAMES if name in names]
        assert {column.name for column in CONTRACT} & set(names) == {
            "dtype", "ratio", "ratio_low", "ratio_high", "verdict", "reason",
        }  # fmt: skip
        assert r"B: crashed: a\|b" in text
        assert lines[-1].startswith("Geometric mean of 1 ratios, after: 2.000 (1.971 to 2.029)")

    def test_markdown_warns_of_what_else_differs(self, tmp_path: Path, dlbench: Command) -> None:
        keep(named("before", layers(l=1e-3)), named("after", layers(l=1e-3), threads=4))
        dlbench("compare", "before", "after", "-q", "-o", tmp_path / "x.md")
        assert "before and after also differ in:\n\n- threads: 2 → 4" in (tmp_path / "x.md").read_text()

    def test_a_pivot_writes_both_values(self, tmp_path: Path, dlbench: Command) -> None:
        keep(named("one", [taken(record(name), 1e-3) for name in ("numba:naive", "torch:library")]))
        assert dlbench("compare", "one", "--by", "variant", "-q", "-o", tmp_path / "x.csv").status == 0
        (row,) = csv.DictReader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines())
        assert (row["backend"], row["variant"]) == ("numba → torch", "naive → library")
