"""The pytest plugin: a fixture that measures, with a budget of the user's, and that costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import scipy.special  # noqa: F401 - pytester forgets what a test of its own imports, and numpy loads once a process

import dlbench.runner.pair  # noqa: F401

pytest_plugins = ("pytester",)

FAKE = """
from fakes import FakeClock

def slow(): pass
def fast(): pass

class Clock(FakeClock):
    '''Virtual time in which the one function takes half as long again as the other.'''

    def time(self, call, calls):
        self.cost = lambda: 1.5e-4 if call is slow else 1e-4
        return super().time(call, calls)
"""


def passes(pytester: pytest.Pytester, text: str, **ini: str) -> None:
    """Run a test file and see all of its tests pass."""
    if ini:
        pytester.makeini("[pytest]\n" + "\n".join(f"{name} = {value}" for name, value in ini.items()))
    pytester.makepyfile(FAKE + text)
    result = pytester.runpytest_inprocess("--strict-markers", "--strict-config", "-p", "no:cacheprovider")
    counts = result.parseoutcomes()
    assert set(counts) == {"passed"}, result.stdout.str()


def test_it_is_found_by_its_entry_point() -> None:
    (entry,) = (one for one in entry_points(group="pytest11") if one.name == "dlbench")
    assert entry.value == "dlbench.pytest_plugin"


def test_two_functions_are_compared(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_speed(dlbench):
    pair = dlbench.compare(slow, fast, clock=Clock())
    assert pair.ratio_low > 1.4
    assert pair.ratio_high < 1.6
    assert dlbench.compare(fast, slow, clock=Clock()).ratio_low < 1.1
    assert pair.verdict == "faster"
""",
    )


def test_a_slower_function_fails_its_test_and_the_failure_shows_the_ratio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        FAKE
        + """
def test_speed(dlbench):
    assert dlbench.compare(slow, fast, clock=Clock()).ratio_low < 1.1
"""
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*fast is 1.50 times as fast as slow*"])


def test_one_function_is_measured(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
def test_time(dlbench):
    timing = dlbench.measure(fast, clock=Clock(), flops=2_000)
    assert 0.99e-4 < timing.time.value < 1.01e-4
    assert 0.019 < timing.gflops < 0.021

def test_arguments(dlbench):
    def twice(x, by):
        return x * by
    assert dlbench.measure(twice, 3, by=4, clock=Clock()).name == "twice"
""",
    )


LIMITED = """
def spent(dlbench, **options):
    clock = Clock()
    dlbench.compare(slow, fast, clock=clock, precision=1e-9, **options)
    return clock.moment

def test_default(dlbench):
    assert {low} < spent(dlbench) < {high}

def test_call(dlbench):
    assert 3 < spent(dlbench, budget="4s") < 6
    assert 3 < spent(dlbench, budget=4) < 6
"""


def test_a_measurement_takes_a_second_unless_a_call_says_otherwise(pytester: pytest.Pytester) -> None:
    passes(pytester, LIMITED.format(low=0.5, high=1.5))


def test_an_ini_option_sets_the_budget(pytester: pytest.Pytester) -> None:
    passes(pytester, LIMITED.format(low=8, high=12), dlbench_budget="10s")


def test_a_marker_sets_how_well_a_test_measures(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
import pytest

@pytest.mark.dlbench(budget="6s", precision="0.0001%")
def test_long(dlbench):
    clock = Clock()
    dlbench.compare(slow, fast, clock=clock)
    assert 5 < clock.moment < 8

@pytest.mark.dlbench(budget="6s", precision="50%")
def test_short(dlbench):
    clock = Clock()
    dlbench.compare(slow, fast, clock=clock)
    assert clock.moment < 2
""",
    )


def test_a_budget_that_is_none_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ndlbench_budget = soon\n")
    pytester.makepyfile(FAKE + "def test_time(dlbench):\n    dlbench.measure(fast, clock=Clock())\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*`soon` is not a duration; write 90s*"])


def test_nothing_heavy_is_imported_before_the_fixture_is_used() -> None:
    program = (
        "import sys; import dlbench.pytest_plugin; "
        "print(*sorted({'numpy', 'torch', 'pandas', 'pydantic', 'scipy', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
