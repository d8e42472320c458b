"""The user's own code on the command line: rows like all others, and a row with a reason for whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import dlbench
from dlbench.errors import ConfigError
from dlbench.results.measurement import COLUMNS

QUICK = ["--set", "measure.rounds={min: 1, max: 1}", "--set", "measure.first_visit=10ms", "--no-peaks"]
OVERRIDES = ["measure.rounds={min: 1, max: 1}", "measure.first_visit=10ms"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
SORTS = """
import dlbench


@dlbench.benchmark(ranges={"n": (8, 64)})
def my_sort(state: dlbench.State) -> None:
    data = list(range(state.n))[::-1]
    for _ in state:
        sorted(data)
    state.items = state.n
    state.bytes = 8 * state.n
    state.flops = 2 * state.n
    state.counter["swaps"] = 3


@dlbench.benchmark(args=[(8,), (64,)])
def my_reverse(state: dlbench.State) -> None:
    data = list(range(state.args[0]))
    for _ in state:
        data[::-1]


@dlbench.benchmark
def tuesdays(state: dlbench.State) -> None:
    state.skip("only on Tuesdays")


@dlbench.benchmark
def prints(state: dlbench.State) -> None:
    print("set-up")
    for _ in state:
        print("hello")


@dlbench.benchmark
def never(state: dlbench.State) -> None:
    pass


@dlbench.benchmark
def twice(state: dlbench.State) -> None:
    for _ in state:
        pass
    for _ in state:
        pass


@dlbench.benchmark
def raises(state: dlbench.State) -> None:
    for _ in state:
        1 / 0


@dlbench.benchmark
def exits(state: dlbench.State) -> None:
    for _ in state:
        raise SystemExit(3)


@dlbench.benchmark
def crashes(state: dlbench.State) -> None:
    import os, signal
    for _ in state:
        os.kill(os.getpid(), signal.SIGSEGV)
"""
IMPLEMENTATIONS = """
import sys

import numpy as np

import dlbench


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def variant(name):
    return dlbench.implements("softmax", variant=name, backend="numpy")


@variant("right")
def right(problem, x):
    return lambda: softmax(x)


@variant("shape")
def shape(problem, x):
    return lambda: softmax(x).T.copy()


@variant("nan")
def nan(problem, x):
    return lambda: softmax(x) * np.float32("nan")


@variant("retyped")
def retyped(problem, x):
    return lambda: softmax(x).astype("float64")


@variant("mutates")
def mutates(problem, x):
    def call():
        y = softmax(x)
        x[0, 0] += 1
        return y

    return call


@variant("prints")
def prints(problem, x):
    def call():
        print("hello")
        return softmax(x)

    return call


@variant("raises")
def raises(problem, x):
    def call():
        raise ValueError("not today")

    return call


@variant("exits")
def exits(problem, x):
    return lambda: sys.exit("no licence")


@variant("forgets")
def forgets(problem, x):
    def call():
        softmax(x)

    return call


@variant("computes")
def computes(problem, x):
    return softmax(x)
"""
TORCH = """
import torch

import dlbench

torch.set_num_threads(1)


@dlbench.implements("softmax", variant="mine")
def prepare(problem, x):
    return lambda: torch.softmax(x, 1)
"""
CONFIG = """
import: [own.py, own_torch.py, broken.py]
benchmarks: [gone.py]
variants:
  - numpy:native
  - torch:mine
  - torch:broken
  - numpy:right
  - numpy:shape
  - numpy:nan
  - numpy:retyped
  - numpy:mutates
  - numpy:prints
  - numpy:raises
  - numpy:exits
  - numpy:forgets
  - numpy:computes
baseline: numpy:native
devices: cpu
sweeps:
  - op: softmax
    params: {rows: 5, cols: 7}
"""
BAD = {
    "shape": ("incorrect", "output y is 7×5 instead of 5×7"),
    "nan": ("incorrect", "output y is nan at position 0: it was not computed, or left to recycled memory"),
    "retyped": ("incorrect", "output y is float64 instead of float32"),
    "mutates": ("incorrect", "changes its input x, or returns memory that belongs to it"),
    "raises": ("failed", "ValueError: not today (own.py:60)"),
    "exits": ("failed", "it calls sys.exit('no licence') (own.py:67)"),
    "forgets": ("incorrect", "returns None instead of output y"),
    "computes": (
        "failed",
        "TypeError: prepare returns ndarray instead of a function without arguments that computes the outputs",
    ),
}
MEASURED = {"unconverged", "noisy", "ok"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    texts = {
        "sorts.py": SORTS,
        "own.py": IMPLEMENTATIONS,
        "own_torch.py": TORCH,
        "broken.py": "import dlbench\nimport no_such_module\n",
        "gone.py": "import no_such_module\n",
        "empty.py": "VALUE = 3\n",
        "own.yaml": CONFIG,
    }
    for name, text in texts.items():
        (made / name).write_text(text)
    return made


def dlbench_(*arguments: str | Path, folder: Path, status: int = 0) -> tuple[str, str]:
    """Run the command and return what it printed, and its errors."""
    line = [sys.executable, "-m", "dlbench", *map(str, arguments)]
    environment = {**ENVIRONMENT, "DLBENCH_STORE": str(folder / "runs.db")}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, cwd=str(folder))
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def sorted_(folder: Path) -> tuple[str, pd.DataFrame]:
    """What a file of benchmarks prints, and its table."""
    printed, _ = dlbench_("run", "sorts.py", *QUICK, "-o", "sorts.csv", "-o", "sorts.parquet", folder=folder)
    return printed, dlbench.load(folder / "sorts.parquet").frame()


@pytest.fixture(scope="module")
def swept(folder: Path) -> pd.DataFrame:
    """The table of a config with implementations of the user's, some of them wrong."""
    run = dlbench.run(folder / "own.yaml", overrides=OVERRIDES, peaks=False, store=str(folder / "own.db"))
    return run.frame().set_index("variant")


class TestBenchmarks:
    def test_each_benchmark_is_a_row_for_each_of_its_arguments(
        self, sorted_: tuple[str, pd.DataFrame]
    ) -> None:
        table = sorted_[1]
        assert list(table.columns) == [column.name for column in COLUMNS]
        assert list(zip(table["problem"], table["params"], strict=True))[:6] == [
            *((f"my_sort n={n}", f'{{"n": {n}}}') for n in (8, 16, 32, 64)),
            *((f"my_reverse {n}", f'{{"args[0]": {n}}}') for n in (8, 64)),
        ]
        assert set(table["backend"] + ":" + table["variant"]) == {"python:sorts"}
        assert set(table["dtype"]) == set(table["direction"]) == set(table["data"]) == {""}

    def test_their_times_and_rates_are_those_of_an_iteration(self, sorted_: tuple[str, pd.DataFrame]) -> None:
        rows = sorted_[1][lambda table: table["op"] == "my_sort"]
        assert set(rows["verdict"]) <= MEASURED
        assert (rows["time_us"] > 0).all()
        sizes = rows["params"].map(lambda text: json.loads(text)["n"])
        for column, per_iteration in (("items_per_s", 1.0), ("gbps", 8e-9), ("gflops", 2e-9)):
            assert list(rows[column]) == pytest.approx(list(per_iteration * sizes / (rows["time_us"] * 1e-6)))
        assert set(rows["counters"]) == {'{"swaps": 3}'}
        assert rows["max_rel_error"].isna().all()

    def test_what_was_not_told_is_empty(self, sorted_: tuple[str, pd.DataFrame]) -> None:
        rows = sorted_[1][lambda table: table["op"] == "my_reverse"]
        for column in ("items_per_s", "gbps", "gflops", "intensity", "counters", "max_rel_error"):
            assert rows[column].isna().all(), column

    def test_the_growth_stands_below_the_table(self, sorted_: tuple[str, pd.DataFrame]) -> None:
        printed = sorted_[0]
        assert "Growth of my_sort with n · python:sorts" in printed
        assert "as a power of n: exponent" in printed
        assert "Growth of my_reverse" not in printed

    @pytest.mark.parametrize(
        ("name", "verdict", "reason"),
        [
            ("tuesdays", "unsupported", "only on Tuesdays"),
            ("never", "failed", "never loops: write `for _ in state:` around what is to be timed"),
            ("twice", "failed", "loops over its state twice;"),
            ("raises", "failed", "ZeroDivisionError: division by zero (sorts.py:51)"),
            ("exits", "failed", "it calls sys.exit(3) (sorts.py:57)"),
            ("crashes", "crashed", "the worker process ended with SIGSEGV"),
        ],
    )
    def test_whatever_goes_wrong_costs_its_own_row(
        self, sorted_: tuple[str, pd.DataFrame], name: str, verdict: str, reason: str
    ) -> None:
        row = sorted_[1].set_index("op").loc[name]
        assert row["verdict"] == verdict
        assert str(row["reason"]).startswith(reason)
        assert pd.isna(row["time_us"])

    def test_what_is_printed_is_noted_and_not_printed(self, sorted_: tuple[str, pd.DataFrame]) -> None:
        printed, table = sorted_
        row = table.set_index("op").loc["prints"]
        assert row["verdict"] in MEASURED
        assert "prints: set-up and " in str(row["reason"])
        assert not [line for line in printed.splitlines() if line.strip() == "hello"]

    def test_a_run_is_shown_again_with_its_growth(
        self, folder: Path, sorted_: tuple[str, pd.DataFrame]
    ) -> None:
        printed, _ = dlbench_("show", "sorts", folder=folder)
        assert "Growth of my_sort with n" in printed
        assert "swaps=3" in printed

    def test_cases_are_kept_by_name(self, folder: Path) -> None:
        printed, _ = dlbench_("run", "sorts.py", "--filter", "sort.*=(8|16)$", "--dry-run", folder=folder)
        assert "cases: 2" in printed
        assert "my_sort n=16" in printed

    def test_two_files_with_one_benchmark_are_compared(self, folder: Path) -> None:
        for name, work in (("old", "sorted(data)"), ("new", "data[::-1]")):
            (folder / f"{name}.py").write_text(
                "import dlbench\n\n@dlbench.benchmark(args=[64])\ndef turned(state):\n"
                f"    data = list(range(state.args[0]))[::-1]\n    for _ in state:\n        {work}\n"
            )
        (folder / "both.yaml").write_text("benchmarks: [old.py, new.py]\nbaseline: python:old\n")
        run = dlbench.run(
            folder / "both.yaml", overrides=OVERRIDES, peaks=False, store=str(folder / "both.db")
        )
        table = run.frame().set_index("variant")
        assert table.loc["old", "speedup"] == 1.0
        assert (table["speedup"] > 0).all()

    def test_a_run_is_not_resumed_with_another_file(self, folder: Path, tmp_path: Path) -> None:
        path = tmp_path / "slow.py"
        path.write_text(
            "import dlbench, os, pathlib\n\n@dlbench.benchmark\ndef slow(state):\n    for _ in state:\n        pass\n"
        )
        store = str(tmp_path / "runs.db")
        with pytest.raises(KeyboardInterrupt):
            dlbench.run(path, overrides=OVERRIDES, peaks=False, store=store, observer=_Interrupting())
        kept = path.read_text()
        path.write_text(kept + "# another\n")
        with pytest.raises(dlbench.UserError, match=r"was started with other contents of .*slow\.py"):
            dlbench.run(path, overrides=OVERRIDES, peaks=False, store=store, resume=True)
        path.write_text(kept)
        run = dlbench.run(path, overrides=OVERRIDES, peaks=False, store=store, resume=True)
        assert list(run.frame()["rounds"]) == [1]

    def test_a_file_without_a_benchmark_is_told_what_to_write(self, folder: Path) -> None:
        _, errors = dlbench_("run", "empty.py", folder=folder, status=2)
        assert errors.startswith(
            "dlbench: empty.py: benchmarks: empty.py holds no benchmark\n  write one, such as"
        )
        assert "for _ in state:" in errors

    def test_a_file_that_cannot_be_imported_is_named_with_its_line(self, folder: Path) -> None:
        _, errors = dlbench_("run", "gone.py", folder=folder, status=2)
        assert errors == (
            "dlbench: gone.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (gone.py:1)\n"
        )


class _Interrupting:
    """Presses Ctrl-C when the first round begins."""

    def noted(self, text: str) -> None: ...
    def started(self, run_id: str, cases: int, kept: int) -> None: ...
    def round_started(self, number: int, cases: int, seconds_left: float | None) -> None:
        raise KeyboardInterrupt

    def visiting(self, case: object) -> None: ...
    def visited(self, case: object, visit: object) -> None: ...
    def round_ended(self, number: int, run_id: str) -> None: ...


class TestImplementations:
    def test_the_users_variants_stand_beside_the_librarys(self, swept: pd.DataFrame) -> None:
        for variant in ("mine", "right", "native"):
            row = swept.loc[variant]
            assert row["verdict"] in MEASURED
            assert row["max_rel_error"] < 1e-5
            assert row["speedup"] > 0

    @pytest.mark.parametrize("variant", BAD)
    def test_a_wrong_one_is_told_what_is_wrong(self, swept: pd.DataFrame, variant: str) -> None:
        verdict, reason = BAD[variant]
        row = swept.loc[variant]
        assert (row["verdict"], row["reason"]) == (verdict, reason)
        assert pd.isna(row["time_us"])

    def test_what_one_prints_is_noted(self, swept: pd.DataFrame) -> None:
        row = swept.loc["prints"]
        assert row["verdict"] in MEASURED
        assert "prints: hello and " in row["reason"]

    def test_a_file_that_failed_costs_its_own_rows(self, swept: pd.DataFrame) -> None:
        reason = "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
        assert tuple(swept.loc["broken"][["verdict", "reason"]]) == (
            "failed",
            f"broken.py {reason} (broken.py:2)",
        )
        assert tuple(swept.loc["gone"][["op", "verdict", "reason"]]) == (
            "gone",
            "failed",
            f"gone.py {reason} (gone.py:1)",
        )

    def test_a_file_that_no_variant_names_is_a_mistake(self, folder: Path) -> None:
        (folder / "unnamed.yaml").write_text(
            "import: own.py\nvariants: [numpy:native]\nsweeps:\n  - op: softmax\n    params: {rows: 5, cols: 7}\n"
        )
        with pytest.raises(
            ConfigError, match=r"unnamed.yaml:1: import: own.py holds numpy:right, .* names it"
        ):
            dlbench.run(folder / "unnamed.yaml")
