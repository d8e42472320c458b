"""Sides that take turns, in real workers: two configs, two interpreters, and a config against itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlbench import api, sessions
from dlbench.api import Plan
from dlbench.errors import UserError
from dlbench.runner import interpreter
from dlbench.runner.observer import Silent

CONFIG = """
name: mine
variants: [fake:right]
devices: cpu
measure: {{rounds: {{min: 1, max: 1}}, first_visit: 10ms}}
sweeps: [{{op: matmul, params: {{m: {m}, n: 8, k: 8}}}}]
"""


def planned(folder: Path, m: object = 8, name: str = "mine.yaml") -> Plan:
    path = folder / name
    path.write_text(CONFIG.format(m=m))
    return api.plan(path)


@pytest.fixture
def another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """This interpreter under another name, and the fake backend where the user's own path finds it."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "plugin"))
    return str(path)


def test_one_config_and_one_interpreter_are_two_sides(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert [side.python for side in sessions.sides_of([plan], ["other"])] == ["", "other"]
    assert [side.python for side in sessions.sides_of([plan], ["one", "two"])] == ["one", "two"]
    assert [side.python for side in sessions.sides_of([plan, plan], ["one"])] == ["one", "one"]
    assert [side.python for side in sessions.sides_of([plan, plan], [sys.executable, "two"])] == ["", "two"]


@pytest.mark.parametrize(
    ("plans", "pythons", "message"),
    [
        (1, 0, "--interleaved needs two configs, or one config and --python PATH"),
        (2, 3, "2 configs and 3 times --python: they go together one by one"),
        (9, 0, r"9 sides are more than one session takes \(8\)"),
    ],
)
def test_sides_that_make_no_session_are_refused(
    tmp_path: Path, plans: int, pythons: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sessions.sides_of([planned(tmp_path)] * plans, ["other"] * pythons)


def test_two_sides_are_two_runs_of_one_session(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    store = str(tmp_path / "runs.db")
    ids = sessions.interleave(sessions.sides_of([plan, plan], []), store=store, observer=Silent())
    runs = [api.load(one, store=store) for one in ids]
    assert [run.id[:6] for run in runs] == ["mine-A", "mine-B"]
    assert len({run.environment["session"]["id"] for run in runs}) == 1
    assert [run.environment["session"]["side"] for run in runs] == ["A", "B"]
    assert [len(m.rounds) for run in runs for m in run.record.measurements] == [1, 1]


def test_another_interpreter_computes_with_this_dlbench(tmp_path: Path, another_python: str) -> None:
    store = str(tmp_path / "runs.db")
    sides = sessions.sides_of([planned(tmp_path)], [another_python])
    ids = sessions.interleave(sides, store=store, observer=Silent())
    runs = [api.load(one, store=store) for one in ids]
    assert [run.environment["session"]["python"] for run in runs] == ["", another_python]
    assert [m.max_rel_error for run in runs for m in [run.record.measurements[0].visits[0]]][1] is not None
    assert runs[0].environment["software"] == runs[1].environment["software"]


def test_configs_without_a_common_problem_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    sides = sessions.sides_of([planned(tmp_path), planned(tmp_path, 16, "other.yaml")], [])
    with pytest.raises(UserError, match="A and B have no problem in common"):
        sessions.interleave(sides, store=str(tmp_path / "runs.db"), observer=Silent())


def test_a_config_against_itself_is_measured_twice_a_session(tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    found = sessions.against_itself(planned(tmp_path), sessions=2, store=store, observer=Silent())
    runs = [[api.load(one, store=store) for one in pair] for pair in found]
    notes = [[run.environment["session"] for run in pair] for pair in runs]
    assert [[note["number"] for note in pair] for pair in notes] == [[1, 1], [2, 2]]
    assert len({note["aa"] for pair in notes for note in pair}) == 1
    assert [[run.record.name for run in pair] for pair in runs] == [["aa-mine-A", "aa-mine-B"]] * 2


def test_one_session_is_too_few_for_a_noise_floor(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="1 session shows nothing of how far separate runs differ: at least 2"
    ):
        sessions.against_itself(planned(tmp_path), sessions=1, store="", observer=Silent())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'unknown option -P' >&2; exit 2", "is older than Python 3.11, which dlbench needs"),
        ("echo \"ModuleNotFoundError: No module named 'numpy'\" >&2; exit 1", "lacks what a worker imports"),
        ("echo 'Illegal instruction' >&2; exit 1", "cannot run a worker: Illegal instruction"),
        ("exit 1", "cannot run a worker: it said nothing"),
    ],
)
def test_an_interpreter_that_cannot_work_is_one_clear_line(tmp_path: Path, script: str, message: str) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(UserError, match=message):
        interpreter.inspect(str(path))


def test_a_path_that_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no interpreter; name the file, such as env/bin/python"):
        interpreter.inspect(str(tmp_path))
