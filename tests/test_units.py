"""Quantities are read and printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.units import (
    format_bytes,
    format_duration,
    format_rough,
    format_shape,
    parse_bytes,
    parse_duration,
    parse_fraction,
    significant,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3m", 180),
        ("90s", 90),
        ("1m30s", 90),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2 min", 120),
        ("10us", 1e-5),
        (4, 4),
        ("7", 7),
    ],
)
def test_durations_are_read(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "3x", "3m!", "-3s", "0", 0, "3m 4", float("inf"), "nan", True])
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.5 %", 0.005), (0.02, 0.02), ("0.02", 0.02)])
def test_fractions_are_read(text: str | float, value: float) -> None:
    assert parse_fraction(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["0%", "100%", "-1%", "one", 1, "nan"])
def test_what_is_no_fraction_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="write 1%"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("text", "count"), [("64KiB", 65536), ("2GB", 2 * 10**9), ("1.5 MiB", 1572864), (12, 12), ("12", 12)]
)
def test_bytes_are_read(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@given(st.text(max_size=12))
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (parse_duration, parse_fraction, parse_bytes):
        try:
            assert parse(text) >= 0
        except ValueError as error:
            assert "write" in str(error)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.2345e-5, "12.3 µs"),
        (9.999e-4, "1.00 ms"),
        (0.9996, "1.00 s"),
        (5e-9, "5.00 ns"),
        (125, "2m05s"),
        (7260, "2h01m"),
        (42, "42.0 s"),
    ],
)
def test_durations_are_printed_with_three_digits(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(1e-9, 99))
def test_a_printed_duration_reads_back_within_its_digits(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=6e-3)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234"), (12.345, "12.3"), (0.012345, "0.0123"), (9.996, "10.0"), (0, "0")]
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_bytes_and_shapes_are_printed() -> None:
    assert format_bytes(1536) == "1.50 KiB"
    assert format_bytes(12) == "12 B"
    assert format_shape((1, 64, 56, 56)) == "1×64×56×56"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (25_557_032, "25.6 M"),
        (999_960, "1.00 M"),
        (8_030_261_248, "8.03 G"),
    ],
)
def test_a_rough_count_has_three_digits(count: int, text: str) -> None:
    assert format_rough(count) == text
