"""The examples in `examples/`, and those in the manual: each runs as it is written there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import dlbench
from dlbench.plan.config import load_config

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
MANUAL = ROOT / "docs" / "your_code.md"
QUICK = ["--no-peaks", "--set", "measure.rounds={min: 1, max: 1}", "--set", "measure.first_visit=10ms"]
MEASURED = {"ok", "noisy", "unconverged"}


def run(
    *arguments: str | Path, folder: Path, path: tuple[Path, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of this interpreter's in a folder, with more on its import path."""
    places = os.pathsep.join([*map(str, path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": places, "DLBENCH_STORE": str(folder / "runs.db"), **variables}
    line = [sys.executable, *map(str, arguments)]
    return subprocess.run(line, env=environment, cwd=str(folder), capture_output=True, text=True, check=False)


def measured(
    config: Path, *options: str, folder: Path, path: tuple[Path, ...] = (), **variables: str
) -> pd.DataFrame:
    """Measure a config briefly and return its table."""
    out = folder / "out.parquet"
    done = run(
        "-m", "dlbench", "run", config, *QUICK, *options, "-o", out, folder=folder, path=path, **variables
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return dlbench.load(out).frame()


def all_measured(table: pd.DataFrame, *variants: str) -> None:
    """See that every row has a time and these variants are there."""
    assert set(table["verdict"]) <= MEASURED, list(table["reason"])
    assert set(table["backend"] + ":" + table["variant"]) == set(variants)


@pytest.mark.slow
def test_the_cost_of_a_loop_is_measured(tmp_path: Path) -> None:
    table = measured(EXAMPLES / "loops.py", "--filter", "empty|paused|n=8$", folder=tmp_path)
    all_measured(table, "python:loops")
    assert list(table["op"]) == ["empty", "paused", "sort"]


@pytest.mark.skipif(sys.platform != "linux", reason="Triton is made for Linux alone")
def test_the_triton_kernel_is_right_in_the_interpreter(tmp_path: Path) -> None:
    table = measured(
        EXAMPLES / "triton_softmax.yaml",
        *("--only", "cols=100", "--device", "cpu"),
        folder=tmp_path,
        TRITON_INTERPRET="1",
    )
    all_measured(table, "torch:library", "torch:triton")


@pytest.mark.slow
def test_without_triton_the_kernels_rows_say_so_and_the_others_are_measured(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['triton'] = None\n"
    )  # as if it were not there
    table = measured(
        EXAMPLES / "triton_softmax.yaml",
        *("--only", "cols=100", "--device", "cpu"),
        folder=tmp_path,
        path=(tmp_path,),
    ).set_index("variant")
    assert set(table.loc[["library"], "verdict"]) <= MEASURED
    assert set(table.loc[["triton"], "verdict"]) == {"failed"}
    (reason,) = set(table.loc[["triton"], "reason"])
    assert reason.startswith("triton_softmax.py cannot be imported: ModuleNotFoundError: import of triton")
    assert reason.endswith("(triton_softmax.py:10)")


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("c++") and shutil.which("ninja")), reason="needs a C++ compiler and ninja"
)
def test_the_convolution_in_cpp_is_compiled_and_right(tmp_path: Path) -> None:
    table = measured(
        EXAMPLES / "cpp_conv.yaml", "--only", "torch:*", folder=tmp_path, TORCH_EXTENSIONS_DIR=str(tmp_path)
    )
    all_measured(table, "torch:library", "torch:cpp")


def test_every_examples_config_is_valid() -> None:
    configs = sorted(path for path in EXAMPLES.glob("*.yaml"))
    assert [path.name for path in configs] == ["cpp_conv.yaml", "triton_softmax.yaml"]
    for path in configs:
        assert all(Path(file).is_file() for file in load_config(path).files)


def installed(source: Path, folder: Path) -> tuple[Path, ...]:
    """Return the import path on which a package is as if it were installed: its modules, and what pip writes of it."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    about = folder / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return about.parent, source


def test_an_op_of_another_package_is_listed_and_measured(tmp_path: Path) -> None:
    source = EXAMPLES / "dlbench_example_op"
    path = installed(source, tmp_path)
    listed = run("-m", "dlbench", "list", "ops", folder=tmp_path, path=path)
    assert "polynomial" in listed.stdout
    assert listed.stderr == ""
    table = measured(source / "polynomial.yaml", "--only", "n=1000", folder=tmp_path, path=path)
    all_measured(table, "torch:horner", "torch:powers")
    assert set(table["problem"]) == {"polynomial 1000, degree 5"}
    assert (table["max_rel_error"] > 0).all()


def test_a_backend_of_another_package_is_listed_and_measured(tmp_path: Path) -> None:
    source = EXAMPLES / "dlbench_example_backend"
    path = installed(source, tmp_path)
    listed = run("-m", "dlbench", "list", "backends", folder=tmp_path, path=path)
    assert "lists:naive" in listed.stdout
    table = measured(source / "matmul.yaml", "--only", "k=16", folder=tmp_path, path=path)
    all_measured(table, "lists:naive", "lists:native", "numpy:library")
    assert table.set_index("variant").loc["naive", "speedup"] == 1.0


BROKEN = """\
[dlbench.ops]
broken = dlbench_broken:Op
odd = dlbench_odd:NOTHING
[dlbench.backends]
broken = dlbench_broken:SPEC
"""


@pytest.mark.parametrize(("kind", "known"), [("ops", "matmul"), ("backends", "numpy:library")])
def test_a_broken_package_is_named_in_a_warning_and_the_rest_works(
    tmp_path: Path, kind: str, known: str
) -> None:
    about = tmp_path / "site" / "dlbench_broken-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dlbench-broken\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(BROKEN)
    (about.parent / "dlbench_broken.py").write_text("import no_such_module\n")
    (about.parent / "dlbench_odd.py").write_text("NOTHING = 3\n")
    done = run("-m", "dlbench", "list", kind, folder=tmp_path, path=(about.parent,))
    assert done.returncode == 0, done.stderr
    assert known in done.stdout
    broken = (
        f"dlbench: warning: the entry point `broken` (dlbench.{kind}) of dlbench-broken is left out: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    odd = "dlbench: warning: the entry point `odd` (dlbench.ops) of dlbench-broken is left out: it is 3, which is no Op\n"
    assert broken in done.stderr
    assert (odd in done.stderr) == (kind == "ops")


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the manual shows: a block whose first line is a comment with a file's name."""
    folder = tmp_path_factory.mktemp("manual")
    for name, text in re.findall(
        r"```(?:python|yaml)\n# (\S+)\n(.*?)```", MANUAL.read_text(), flags=re.DOTALL
    ):
        (folder / name).write_text(text)
    return folder


def commands() -> list[str]:
    """Return the commands that the manual shows."""
    blocks = re.findall(r"```sh\n(.*?)```", MANUAL.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_manual_shows_files_and_commands(manual: Path) -> None:
    assert {path.name for path in manual.iterdir()} >= {
        *("my_softmax.py", "softmax.yaml", "my_kernels.py"),
        *("sorts_new.py", "both.yaml", "test_speed.py"),
    }
    assert len(commands()) == 5


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_manual_measures_every_row(manual: Path, command: str) -> None:
    name, *arguments = shlex.split(command)
    assert name == "dlbench"
    out = manual / "out.parquet"
    done = run("-m", "dlbench", *arguments, *QUICK, "-o", out, folder=manual)
    assert done.returncode == 0, done.stderr + done.stdout
    table = dlbench.load(out).frame()
    assert len(table)
    assert set(table["verdict"]) <= MEASURED, list(table["reason"])


def test_the_manuals_tests_pass(manual: Path) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_speed.py", folder=manual)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
