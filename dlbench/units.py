"""Read and print quantities: durations, fractions, bytes, rates and shapes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

_NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_DURATION_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_duration(text: str | float) -> float:
    """Return seconds for "90s", "3m", "1m30s", "250ms" or a plain number of seconds.

    Raises ValueError when the text is no duration or is not positive.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text)
    else:
        seconds = _sum_of_parts(str(text).strip())
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"`{text}` is not a positive duration; write 90s, 3m or 1h30m")
    return seconds


def _sum_of_parts(text: str) -> float:
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = re.findall(_NUMBER + r"\s*(ns|us|µs|ms|min|s|m|h)", text)
    spelled = re.sub(_NUMBER + r"\s*(ns|us|µs|ms|min|s|m|h)\s*", "", text)
    if not parts or spelled:
        raise ValueError(f"`{text}` is not a duration; write 90s, 3m or 1h30m")
    return sum(float(number) * _DURATION_S[unit] for number, unit in parts)


def parse_fraction(text: str | float) -> float:
    """Return 0.01 for "1%" or 0.01.

    Raises ValueError when the text is no fraction strictly between 0 and 1.
    """
    try:
        percent = isinstance(text, str) and text.strip().endswith("%")
        fraction = float(str(text).strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        raise ValueError(f"`{text}` is not a fraction; write 1% or 0.01") from None
    if not 0 < fraction < 1:
        raise ValueError(f"`{text}` is not between 0 and 100 %; write 1% or 0.01")
    return fraction


def parse_bytes(text: str | int) -> int:
    """Return bytes for "64 KiB", "2GB" or a plain number of bytes.

    Raises ValueError when the text is no amount of bytes.
    """
    match = re.fullmatch(_NUMBER + r"\s*([kmgtKMGT]?i?[bB])?", str(text).strip())
    if match is None:
        raise ValueError(f"`{text}` is not an amount of bytes; write 64KiB or 2GB")
    return round(float(match[1]) * _BYTES[(match[2] or "b").lower()])


def format_duration(seconds: float) -> str:
    """Return three significant digits with the unit that fits: "12.3 µs"; from 100 s on "2m05s"."""
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor * 0.9995:
            return f"{significant(seconds / factor)} {unit}"
    return f"{significant(seconds / 1e-9)} ns"


def format_bytes(count: float) -> str:
    """Return three significant digits with a binary unit: "1.50 MiB"."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 2**power:
            return f"{significant(count / 2**power)} {unit}"
    return f"{count:.0f} B"


def format_count(count: int) -> str:
    """Return a whole number with thin groups: "1,000,000"."""
    return f"{count:,}"


def format_rough(count: int) -> str:
    """Return three significant digits in thousands, millions or billions: "25.6 M", "999"."""
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power * 0.9995:
            return f"{significant(count / 10**power)} {unit}"
    return str(count)


def format_shape(shape: Iterable[int]) -> str:
    """Return "1×64×56×56"."""
    return "×".join(str(extent) for extent in shape)


def significant(value: float, digits: int = 3) -> str:
    """Return the value with that many significant digits and no exponent: 1234 -> "1234", 0.0123 -> "0.0123"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    magnitude = math.floor(math.log10(abs(value)))
    decimals = max(0, digits - 1 - magnitude)
    rounded = f"{value:.{decimals}f}"
    if decimals and math.floor(math.log10(abs(float(rounded)))) > magnitude:
        return f"{value:.{decimals - 1}f}"
    return rounded
