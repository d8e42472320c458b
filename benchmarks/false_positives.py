"""How often a comparison of identical programs finds a change, and how often a planted one is found.

Every session measures twelve problems three times over, in turn. In the first sessions all three sides are the same, so
that each two of them make an A/A pair in turn, and equal sides of neighbouring sessions separate A/A pairs, as two runs on
two days would. In the next, the sides are the same thing plain, with 5 % and with 10 % of its work done again. In the last,
all three are the same again and one core is kept busy by another process. Goals: of the rows of A/A pairs at most 2 % are
called changed, at most 5 % on the busy machine; at least 80 % of the rows with 5 % more work and 95 % of those with 10 % are
called slower.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("plugin")))

from _machine import name

from dlbench.analysis.comparison import compare
from dlbench.analysis.floor import Floors
from dlbench.api import plan
from dlbench.results.digest import Digest
from dlbench.results.store import Store
from dlbench.runner.observer import Silent
from dlbench.sessions import Side, interleave

CONFIG = Path(__file__).with_name("planted.yaml")
SESSIONS = 14
"""Of each kind; three pairs each of equal sides: 42 A/A pairs on the idle machine and 42 on the busy one."""
SIDES = (0, 1, 2)
SAME, MORE_5, MORE_10 = ("variants=planted:same", "variants=planted:more5", "variants=planted:more10")
GOAL_IDLE, GOAL_BUSY, GOAL_5, GOAL_10 = 0.02, 0.05, 0.80, 0.95
SPIN = "while True: pass"


def measured(store: str, arms: Sequence[str]) -> list[Digest]:
    """Measure the arms in one session and return their runs."""
    sides = [Side(plan(CONFIG, overrides=[variant])) for variant in arms]
    ids = interleave(sides, store=store, observer=Silent())
    with Store(store) as opened:
        return [opened.digest(one) for one in ids]


def verdicts(first: Digest, second: Digest, by: str = "") -> list[str]:
    """Return the verdict of every row."""
    return [str(verdict) for verdict in compare([first, second], by=by, floors=Floors()).frame["verdict"]]


def changed(found: Sequence[str]) -> float:
    """Return the share of rows that are called faster or slower."""
    return sum(verdict in ("faster", "slower") for verdict in found) / len(found)


def slower(found: Sequence[str]) -> float:
    """Return the share of rows that are called slower."""
    return sum(verdict == "slower" for verdict in found) / len(found)


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def in_turn(sessions: Sequence[Sequence[Digest]]) -> list[str]:
    """Return the verdicts of every two equal sides of each session."""
    return [
        verdict
        for one in sessions
        for first, second in combinations(SIDES, 2)
        for verdict in verdicts(one[first], one[second])
    ]


def judge(
    equal: Sequence[Sequence[Digest]], planted: Sequence[Sequence[Digest]], busy: Sequence[Sequence[Digest]]
) -> int:
    """Print the shares beside their goals; return 1 when one is missed."""
    interleaved, loaded = in_turn(equal), in_turn(busy)
    separate = [
        verdict
        for one, other in pairwise(equal)
        for side in SIDES
        for verdict in verdicts(one[side], other[side])
    ]
    five, ten = (
        [verdict for one in planted for verdict in verdicts(one[0], one[side], "variant")] for side in (1, 2)
    )
    rows = [
        ("A/A in turn, called changed", changed(interleaved), len(interleaved), GOAL_IDLE, False),
        ("A/A separate, called changed", changed(separate), len(separate), GOAL_IDLE, False),
        ("A/A in turn, one core busy, called changed", changed(loaded), len(loaded), GOAL_BUSY, False),
        ("5 % more work, called slower", slower(five), len(five), GOAL_5, True),
        ("10 % more work, called slower", slower(ten), len(ten), GOAL_10, True),
    ]
    missed = 0
    for what, share, count, goal, at_least in rows:
        met = share >= goal if at_least else share <= goal
        missed += not met
        sign = "≥" if at_least else "≤"
        print(f"{what:44}{share:8.1%} of {count} rows, goal {sign} {goal:.0%}{'' if met else '  missed'}")
    return int(missed > 0)


def main() -> int:
    """Measure the sessions, or read those kept by an earlier start, and judge them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument(
        "--keep", type=Path, help="folder for the stores; what is in it is not measured again"
    )
    chosen = parser.parse_args()
    print(name())
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        equal = sessions_in(folder / "equal.db", (SAME, SAME, SAME), chosen.sessions)
        planted = sessions_in(folder / "planted.db", (SAME, MORE_5, MORE_10), chosen.sessions)
        with one_core_busy():
            busy = sessions_in(folder / "busy.db", (SAME, SAME, SAME), chosen.sessions)
    return judge(equal, planted, busy)


def sessions_in(path: Path, arms: Sequence[str], wanted: int) -> list[list[Digest]]:
    """Return so many sessions, those that the store holds and the rest measured now."""
    with Store(path) as opened:
        runs = [run.id for run in opened.runs()[::-1] if run.finished]
        kept = [opened.digest(one) for one in runs]
    found: dict[str, dict[str, Digest]] = {}
    for digest in kept:
        session = digest.run.environment["session"]
        found.setdefault(session["id"], {})[session["side"]] = digest
    whole = [
        [sides[letter] for letter in sorted(sides)] for sides in found.values() if len(sides) == len(arms)
    ]
    while len(whole) < wanted:
        whole.append(measured(str(path), arms))
        print(f"{path.stem}: {len(whole)} of {wanted} sessions", end="\r", file=sys.stderr)
    return whole[:wanted]


if __name__ == "__main__":
    sys.exit(main())
