"""The command line as a user meets it, with real worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import dlbench
from dlbench.results.measurement import COLUMNS

CONFIG = """\
variants: [fake:right, fake:wrong, fake:crashes, fake:raises, absent:library]
baseline: fake:right
measure: {rounds: {min: 1, max: 1}, first_visit: 10ms, timeout: 20s}
sweeps:
  - op: matmul
    params: {m: 8, n: 8, k: [8, 16]}
"""
SLOW = """\
variants: [fake:slow]
measure: {rounds: {min: 2, max: 2}, first_visit: 200ms, visit: 800ms}
sweeps:
  - op: matmul
    params: {m: {from: 8, to: 40, step: 8}, n: 8, k: 8}
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "dlbench", *map(str, arguments)]


def dlbench_(*arguments: str | Path, store: Path, status: int = 0) -> tuple[str, str]:
    """Run the command and return what it printed, and its errors."""
    environment = {**ENVIRONMENT, "DLBENCH_STORE": str(store)}
    done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def test_a_run_prints_every_row_and_writes_every_format(config: Path, store: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"out.{ending}" for ending in ("csv", "json", "parquet", "md")]
    options = [option for file in files for option in ("-o", file)]
    printed, _ = dlbench_("run", config, "--no-peaks", *options, store=store)
    for word in (
        "fake:right",
        "incorrect",
        "crashed",
        "SIGSEGV",
        "no kernel image [is] available",
        "pip install dlbench-absent",
    ):
        assert word in printed
    table = pd.read_csv(files[0])
    assert list(table.columns) == [column.name for column in COLUMNS]
    failures = table[table["variant"] != "right"]
    assert sorted(zip(failures["variant"], failures["verdict"], strict=True)) == sorted(
        [
            ("wrong", "incorrect"),
            ("crashes", "crashed"),
            ("raises", "failed"),
            ("library", "unsupported"),
        ]
        * 2
    )
    assert failures["time_us"].isna().all()
    right = table[table["variant"] == "right"]  # which of the two one round comes to is the machine's affair
    assert set(right["verdict"]) <= {"unconverged", "noisy"}
    assert list(right["rounds"]) == [1, 1]
    assert (right["time_us"] > 0).all()
    assert right["reason"].notna().all()
    assert json.loads(files[1].read_text())["run"]["name"] == "mine"
    loaded = dlbench.load(files[2])
    assert len(loaded.frame()) == 10


def test_a_run_can_be_shown_again_and_listed(config: Path, store: Path) -> None:
    dlbench_("run", config, "--no-peaks", "--only", "fake:right", "--name", "first", "-q", store=store)
    printed, _ = dlbench_("show", "first", store=store)
    assert printed.count("fake:right") >= 2
    assert "first-" in dlbench_("list", "runs", store=store)[0]


@pytest.mark.slow
def test_a_self_test_without_its_device_says_what_is_missing_and_fails(store: Path) -> None:
    printed, _ = dlbench_("selftest", "--device", "cuda:99", store=store, status=1)
    assert "✗  torch" in printed
    assert "0 of" in printed
    assert "checks passed on cuda:99" in printed


def test_a_self_test_wants_a_duration(store: Path) -> None:
    _, errors = dlbench_("selftest", "--budget", "soon", store=store, status=2)
    assert errors.startswith("dlbench: ")
    assert "soon" in errors


def test_parallel_is_kept_with_the_run(config: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    dlbench_("run", config, "--no-peaks", "--parallel", "--only", "fake:right", "-o", out, store=store)
    assert json.loads(out.read_text())["run"]["config"]["measure"]["parallel"] is True


def test_a_device_that_is_not_there_gives_unsupported_rows(config: Path, store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    dlbench_("run", config, "--no-peaks", "--device", "cuda:99", "-o", out, store=store)
    table = pd.read_csv(out)
    assert set(table["device"]) == {"cuda:99"}
    assert set(table["verdict"]) == {"unsupported"}


def test_quiet_prints_nothing(config: Path, store: Path) -> None:
    assert dlbench_("run", config, "--no-peaks", "--only", "fake:right", "-q", store=store) == ("", "")


def test_a_dry_run_measures_nothing(config: Path, store: Path) -> None:
    printed, _ = dlbench_("run", config, "--dry-run", store=store)
    assert "cases: 10" in printed
    assert "estimated time" in printed
    assert not store.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "conf"), "no config `conf`\n  did you mean `conv`?"),
        (("run", "conv", "--set", "dtype=float23"), "no dtype `float23`"),
        (
            ("run", "conv", "--only", "nothing-like-this"),
            "--only nothing-like-this matches no case; there is",
        ),
        (("run", "conv", "--budget", "soon"), "`soon` is not a duration"),
        (("run", "quick", "--dry-run", "-o", "x.xls"), ".csv"),
        (("show", "nothing"), "nothing"),
        (("run", "quick", "--resume"), "no unfinished run named `quick`"),
    ],
)
def test_a_mistake_is_one_message_and_exit_status_2(
    arguments: tuple[str, ...], message: str, store: Path
) -> None:
    _, errors = dlbench_(*arguments, store=store, status=2)
    assert errors.startswith("dlbench: ")
    assert message in errors


def test_too_many_cases_are_counted_and_refused(store: Path) -> None:
    axis = "{from: 1, to: 1000, step: 1}"
    sets = ["--set", f"sweeps=[{{op: matmul, params: {{m: {axis}, n: {axis}, k: {axis}}}}}]"]
    _, errors = dlbench_("run", "quick", *sets, store=store, status=2)
    assert "asks for 2,000,000,000 cases, more than 100,000" in errors
    assert "--yes" in errors


@pytest.mark.parametrize("kind", ["ops", "backends", "devices", "suites", "configs", "runs"])
def test_everything_can_be_listed(kind: str, store: Path) -> None:
    printed, _ = dlbench_("list", kind, store=store)
    wanted = {
        "ops": "conv2d",
        "backends": "torch:library",
        "devices": "cpu",
        "suites": "resnet50",
        "configs": "conv",
        "runs": "none",
    }
    assert wanted[kind] in printed


def test_info_tells_hardware_versions_and_quietness(store: Path) -> None:
    printed, _ = dlbench_("info", store=store)
    for word in ("model:", "torch:", "load average:", "warnings", "blas"):
        assert word in printed


def test_the_schema_is_json(store: Path) -> None:
    assert json.loads(dlbench_("schema", store=store)[0])["title"] == "dlbench config"


@pytest.mark.parametrize("arguments", [("--help",), ("list", "configs"), ("run", "conv", "--dry-run")])
def test_no_framework_is_imported_until_it_is_needed(arguments: tuple[str, ...], store: Path) -> None:
    environment = {**ENVIRONMENT, "DLBENCH_STORE": str(store)}
    line = [sys.executable, "-X", "importtime", "-m", "dlbench", *arguments]
    log = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stderr
    imported = {entry.rpartition("|")[2].strip() for entry in log.splitlines()}
    assert not imported & {"torch", "numba", "cupy"}
    if arguments != ("run", "conv", "--dry-run"):
        assert "pandas" not in imported


def _hear_control_c() -> None:
    """Undo what a shell does to what it starts in the background, and its children inherit: Ctrl-C is ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(config: Path, store: Path) -> subprocess.Popen[str]:
    """Start a run and wait until its first visit is in the store."""
    environment = {**ENVIRONMENT, "DLBENCH_STORE": str(store)}
    process = subprocess.Popen(
        command("run", config, "--no-peaks"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_control_c,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if len(dlbench.load("latest", store=str(store)).frame().query("rounds > 0")) >= 1:
                return process
        except dlbench.UserError:
            pass
        time.sleep(0.05)
    raise AssertionError("the run has not begun")


def test_control_c_keeps_what_was_measured_and_tells_how_to_go_on(tmp_path: Path, store: Path) -> None:
    config = tmp_path / "slow.yaml"
    config.write_text(SLOW)
    process = start(config, store)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"dlbench run {config} --resume" in errors.replace("\n", "")
    assert "Traceback" not in errors
    dlbench_("run", config, "--no-peaks", "--resume", "-q", store=store)
    assert (dlbench.load("latest", store=str(store)).frame()["rounds"] == 2).all()


def test_kill_9_loses_at_most_the_case_in_flight(tmp_path: Path, store: Path) -> None:
    config = tmp_path / "slow.yaml"
    config.write_text(SLOW)
    process = start(config, store)
    process.kill()
    process.communicate()
    kept = dlbench.load("latest", store=str(store)).frame()
    assert len(kept) == 5
    assert (kept["rounds"] > 0).any()
    dlbench_("run", config, "--no-peaks", "--resume", "-q", store=store)
    assert (dlbench.load("latest", store=str(store)).frame()["rounds"] == 2).all()
