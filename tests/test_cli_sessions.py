"""`dlbench compare --interleaved` and `dlbench aa` as a user meets them, with real workers of the fake backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlbench import cli

CONFIG = """
variants: [fake:{variant}]
devices: cpu
measure: {{rounds: {{min: {rounds}, max: {rounds}}}, first_visit: 10ms, visit: 10ms}}
sweeps: [{{op: matmul, params: {{m: 8, n: 8, k: 8}}}}]
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dlbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dlbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed, errors = capsys.readouterr()
        assert isinstance(ended.value.code, int | None)
        return ended.value.code or 0, printed, errors

    return run


def written(folder: Path, name: str, variant: str = "right", rounds: int = 1) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(CONFIG.format(variant=variant, rounds=rounds))
    return path


def test_two_configs_are_measured_in_turn_and_compared(tmp_path: Path, dlbench: Command) -> None:
    one, other = (
        written(tmp_path, name, variant, 4) for name, variant in (("one", "slow"), ("other", "right"))
    )
    status, printed, _ = dlbench(
        "compare", "--interleaved", one, other, "--by", "variant", "-o", tmp_path / "x.csv"
    )
    assert status == 0
    assert "run one-A-" in printed
    assert "and other-B-" in printed
    assert "faster" in printed
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert len(lines) == 2
    assert ",fake:slow → fake:right," in lines[1] or ",slow → right," in lines[1]


def test_the_same_config_on_both_sides_is_compared_too(tmp_path: Path, dlbench: Command) -> None:
    config = written(tmp_path, "mine")
    status, printed, _ = dlbench("compare", "--interleaved", config, config, "--fail-on", "5%")
    assert status == 3
    assert "too few rounds for a verdict: at least 4 (1" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--interleaved", "quick"), "--interleaved needs two configs, or one config and --python PATH"),
        (("a", "b", "--budget", "1m"), "--budget: only with --interleaved, which measures"),
        (("a", "b", "--python", "x", "--only", "c=1"), "--only, --python: only with --interleaved"),
        (("--interleaved", "quick", "--python", "/nowhere"), "--python /nowhere: is no interpreter"),
        (("--interleaved", "peaks", "softmax"), "A and B have no problem in common"),
        (("--interleaved", "quik", "quick"), "did you mean `quick`?"),
    ],
)
def test_what_makes_no_session_is_one_clear_line(
    options: tuple[str, ...], message: str, dlbench: Command
) -> None:
    status, _, errors = dlbench("compare", *options)
    assert status == 2
    assert message in errors


def test_a_machine_against_itself_gives_the_floor_that_compare_then_uses(
    tmp_path: Path, dlbench: Command
) -> None:
    config = written(tmp_path, "mine", rounds=4)
    status, printed, _ = dlbench("aa", config, "--sessions", "2")
    assert status == 0
    lines = [line.split() for line in printed.splitlines()]
    assert ["session", "2", "of", "2"] in lines
    assert any(line[:2] == ["in", "turn"] for line in lines)
    assert any(line[:1] == ["separate"] for line in lines)
    assert "false positives in turn: " in printed
    runs = [line.split()[1] for line in printed.splitlines() if line.startswith("run aa-mine-A")]
    assert len(runs) == 2
    _, printed, _ = dlbench("compare", *runs)
    assert "A/A comparisons on this machine" in " ".join(printed.split())


def test_too_few_sessions_are_refused_before_anything_is_measured(tmp_path: Path, dlbench: Command) -> None:
    status, _, errors = dlbench("aa", written(tmp_path, "mine"), "--sessions", "1")
    assert (status, errors) == (
        2, "dlbench: 1 session shows nothing of how far separate runs differ: at least 2\n",
    )  # fmt: skip
