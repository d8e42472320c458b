"""A pytest plugin: the fixture `dlbench` measures functions in a test, so that a test can hold their speed.

Nothing but pytest is imported until a test uses the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dlbench.runner.measure import Timing
    from dlbench.runner.pair import Pair
    from dlbench.timing.clock import Call

BUDGET = "dlbench_budget"
"""The ini option that says how long one measurement may take."""
DEFAULT_BUDGET = "1s"
"""Ten windows of 0.1 s: enough for a ratio to a few per cent, little enough for a test."""
MARKER = "dlbench"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(
        BUDGET,
        "time that one measurement of the fixture dlbench may take, such as 3s",
        default=DEFAULT_BUDGET,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(budget='3s', precision='1%'): how well the fixture {MARKER} measures in this test",
    )


class Measuring:
    """Measures functions in this process, as `dlbench.measure` and `dlbench.compare` do, in a shorter time."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Take what holds where a call says nothing else: budget and precision, as numbers or as text."""
        self._options = options

    def measure(self, function: Callable[..., Any], *args: Any, **options: Any) -> Timing:
        """Return how long one call takes; what `dlbench.measure` takes, and `budget` and `precision` as text, too.

        Raises ValueError for a text that is neither, and whatever the function raises.
        """
        from dlbench.runner.measure import measure

        return measure(function, *args, **self._with_defaults(options))

    def compare(self, first: Call, second: Call, **options: Any) -> Pair:
        """Return how the two stand: `ratio` is the first's time over the second's, `ratio_low` and `ratio_high` its interval.

        Takes what `dlbench.compare` takes for functions. Raises as `measure` does.
        """
        from dlbench.runner.pair import compare_calls

        return compare_calls(first, second, **self._with_defaults(options))

    def _with_defaults(self, options: dict[str, Any]) -> dict[str, Any]:
        from dlbench.units import parse_duration, parse_fraction

        chosen = self._options | options
        if "precision" in chosen:
            chosen["precision"] = parse_fraction(chosen["precision"])
        return chosen | {"budget": parse_duration(chosen["budget"])}


@pytest.fixture
def dlbench(request: pytest.FixtureRequest) -> Measuring:
    """`measure` and `compare`: how long functions take, and how two of them stand, with intervals."""
    marker = request.node.get_closest_marker(MARKER)
    return Measuring({"budget": request.config.getini(BUDGET)} | (marker.kwargs if marker else {}))
