from __future__ import annotations

import io
from dataclasses import replace

import pytest
from compared import compared, layers, named, taken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from run_strategies import runs
from runs import failed, record

from dlbench.analysis.comparison import Comparison
from dlbench.analysis.floor import Floors
from dlbench.analysis.sides import FIELDS
from dlbench.errors import UserError
from dlbench.report.comparison import print_comparison
from dlbench.results.measurement import Measurement, Run


def _printed(comparison: Comparison, width: int = 100) -> list[str]:
    file = io.StringIO()
    print_comparison(Console(file=file, width=width), comparison)
    return file.getvalue().splitlines()


def _two(first: list[Measurement], second: list[Measurement], **options: object) -> list[str]:
    return _printed(compared(named("a", first), named("b", second), **options))


def _starting(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.startswith(start)]
    return found


def test_a_comparison_is_its_sides_its_rows_and_what_they_come_to() -> None:
    first = [*layers(down=1e-3, up=2e-3, same=1e-3, lost=1e-3), *layers(gone=1e-3)]
    second = [*layers(down=1.25e-3, up=1e-3, same=1e-3), failed(record(layer="lost"), "crashed", "SIGSEGV")]
    assert _two(first, second) == [
        "A  a · 2026-01-02 03:04 · bench · A CPU",
        "B  b · 2026-01-02 03:04 · bench · A CPU",
        "",
        "all rows: float32 · forward · hot · numba:naive · cpu",
        "              A        B         ratio  verdict",
        "▼ down  1.00 ms  1.25 ms  0.800× ±1.5%  slower",
        "▲ up    2.00 ms  1.00 ms   2.00× ±1.5%  faster",
        "✗ lost  1.00 ms                         inconclusive",
        "    B: crashed: SIGSEGV",
        "≈ same  1.00 ms  1.00 ms   1.00× ±1.5%  same",
        "",
        "B is 1.170 times as fast as A [1.160, 1.179]: geometric mean of 3 rows",
        "1 row in A only, not in B:",
        "  gone · conv2d 1x8x4x4 to 8 · float32 · forward · hot · numba:naive · cpu",
        "4 rows: 1 slower, 1 faster, 1 same, 1 inconclusive",
        "noise floor 5 %, the default: `dlbench aa CONFIG` measures this machine's",
        "ratio: A's time over B's, above 1 where B is faster, ± half its 95 % interval over rounds · faster",
        "or slower: significant among all rows (Benjamini-Hochberg, 5 %) and beyond the noise floor",
    ]


class TestWarnings:
    def test_what_else_differs_stands_before_the_table(self) -> None:
        comparison = compared(
            named("a", layers(l=1e-3), software={"torch": "2.6.0"}),
            named("b", layers(l=1e-3), software={"torch": "2.7.0"}, threads=4),
        )
        lines = _printed(comparison)
        start = lines.index("A and B differ in more than what is compared:")
        assert lines[start + 1 : start + 4] == ["  library torch: 2.6.0 → 2.7.0", "  threads: 2 → 4", ""]
        assert start < lines.index(_starting(lines, "≈ l"))

    def test_so_does_that_no_row_can_have_a_verdict(self) -> None:
        few = [taken(record(), 1e-3, rounds=3)]
        lines = _two(few, few)
        note = lines.index(
            _starting(lines, "no row has enough rounds for a verdict: at least 4 (3 and 3 here);")
        )
        assert note < lines.index(_starting(lines, "? conv2d"))

    def test_and_that_a_run_is_unfinished(self) -> None:
        comparison = compared(named("a", layers(l=1e-3)), named("b", layers(l=1e-3)))
        assert "b is unfinished" not in _printed(comparison)


class TestRows:
    def test_a_case_is_told_by_what_varies(self) -> None:
        cases = [record("numba:naive"), record("torch:library", cache="cold", data="zeros")]
        lines = _two([taken(case, 1e-3) for case in cases], [taken(case, 1e-3) for case in cases])
        assert _starting(lines, "all rows: ") == "all rows: float32 · forward · cpu"
        assert _starting(lines, "≈ conv2d 1x8x4x4 to 8 · hot · numba:naive ")
        assert _starting(lines, "≈ conv2d 1x8x4x4 to 8 · cold · zeros data · torch:library ")

    def test_a_layer_with_several_problems_names_them(self) -> None:
        cases = [record(layer="l", problem=f"conv2d n={n}", params=f"{n}") for n in (1, 8)]
        lines = _two([taken(case, 1e-3) for case in cases], [taken(case, 1e-3) for case in cases])
        assert _starting(lines, "≈ l conv2d n=1 ")
        assert _starting(lines, "≈ l conv2d n=8 ")

    def test_suites_are_named_where_there_are_several(self) -> None:
        cases = [record(suite=name, layer="l") for name in ("s", "t")]
        lines = _two([taken(case, 1e-3) for case in cases], [taken(case, 1e-3) for case in cases])
        assert _starting(lines, "≈ s/l ")
        assert _starting(lines, "≈ t/l ")

    @pytest.mark.parametrize("width", [60, 80, 100])
    def test_a_long_case_is_wrapped_and_the_numbers_stay_in_line(self, width: int) -> None:
        case = record(problem="conv2d " + "1×64×56×56 " * 12 + "end")
        comparison = compared(named("a", [taken(case, 1e-3)]), named("b", [taken(case, 1e-3)]))
        lines = _printed(comparison, width)
        assert max(map(len, lines)) <= width
        assert _starting(lines, "≈ conv2d").endswith("same")
        assert any(line.rstrip().endswith("end") for line in lines)

    def test_a_noisy_time_is_marked_and_its_reason_left_to_the_run(self) -> None:
        noisy = taken(record(), 1.2e-3, verdict="noisy", reason="two modes; load 3")
        lines = _two([noisy], [taken(record(), 1e-3)])
        assert "~1.20 ms  1.00 ms" in _starting(lines, "▲ conv2d")
        assert "two modes" not in "\n".join(lines)
        assert "~ noisy: `dlbench show RUN` tells why" in " ".join(lines)

    def test_a_noisy_row_still_tells_its_own_reason(self) -> None:
        noisy = taken(record(), 1.045e-3, verdict="noisy", reason="two modes; load 3")
        lines = _two([noisy], [taken(record(), 1e-3, verdict="noisy", reason="x")])
        assert "    4.5 % is below the noise floor of 5 %" in lines

    def test_a_reason_that_many_rows_share_is_told_once(self) -> None:
        broken = [failed(record(layer=f"l{n}"), "unsupported", "no bfloat16") for n in range(4)]
        fine = [taken(record(layer=f"l{n}"), 1e-3) for n in range(4)]
        lines = _two(fine, broken)
        assert [line for line in lines if "bfloat16" in line] == [
            "4 rows are inconclusive: B: unsupported: no bfloat16"
        ]

    def test_wide_intervals_are_counted_not_explained_one_by_one(self) -> None:
        sides = [[taken(record(layer="l"), 1e-3, spread=0.1, seed=seed)] for seed in (0, 1)]
        lines = _two(*sides)
        assert [line for line in lines if "more rounds" in line] == [
            "1 row inconclusive by its interval: more rounds would tell"
        ]

    def test_many_rows_show_those_that_matter_and_count_the_same(self) -> None:
        names = [f"l{number}" for number in range(100)]
        first = [taken(record(layer=name), 1e-3) for name in names]
        second = [taken(record(layer=name), 1e-3 if name != "l7" else 2e-3) for name in names]
        lines = _two(first, second)
        assert [line for line in lines if line.startswith(("▼", "▲", "≈"))] == [_starting(lines, "▼ l7")]
        assert "99 rows the same" in lines

    def test_very_many_that_matter_are_cut_and_counted(self) -> None:
        names = [f"l{number}" for number in range(100)]
        first = [taken(record(layer=name), 1e-3) for name in names]
        lines = _two(first, [taken(record(layer=name), 2e-3 if name < "l9" else 1e-3) for name in names])
        assert len([line for line in lines if line.startswith("▼")]) == 60
        assert "… and 40 more (29 slower, 11 same); -o FILE writes them all" in lines

    def test_several_others_are_named_in_a_column(self) -> None:
        comparison = compared(
            named("a", layers(l=1e-3)), named("b", layers(l=2e-3)), named("c", layers(l=0.5e-3))
        )
        lines = _printed(comparison)
        assert [line for line in lines if line.startswith(("▼", "▲"))] == [
            "▼ l  B      1.00 ms   2.00 ms  0.500× ±1.5%  slower",
            "▲ l  C      1.00 ms    500 µs   2.00× ±1.5%  faster",
        ]
        assert _starting(lines, "B takes 2.000 times as long as A [1.971, 2.029]")
        assert _starting(lines, "C is 2.000 times as fast as A")

    def test_control_characters_of_strangers_are_only_text(self) -> None:
        text = "[red]a[/red] \x1b[31mb\x07"
        case = record(problem=text)
        lines = _two([taken(case, 1e-3)], [failed(case, "failed", text)], names=(text, "b"))
        printed = "\n".join(lines)
        assert "\x1b" not in printed
        assert "\x07" not in printed
        assert printed.count("[red]a[/red] \ufffd[31mb\ufffd") == 3


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(first=runs(), second=runs(), by=st.sampled_from(["", *FIELDS]), alike=st.booleans())
def test_any_two_runs_are_compared_or_refused_in_one_line(
    first: Run, second: Run, by: str, alike: bool
) -> None:
    second = replace(second, measurements=first.measurements) if alike else second
    try:
        comparison = compared(first, second, by=by)
    except UserError as error:
        assert len(str(error).splitlines()) <= 1
    else:
        assert _printed(comparison)


class TestBy:
    def test_the_columns_are_the_values_of_the_field(self) -> None:
        measurements = [taken(record("numba:naive"), 2e-3), taken(record("torch:library"), 1e-3)]
        lines = _printed(compared(named("a", measurements), by="variant"))
        assert lines[0] == "by variant, in a"
        assert _starting(lines, "    ").split() == ["numba:naive", "torch:library", "ratio", "verdict"]
        assert _starting(lines, "▲ conv2d 1x8x4x4 to 8  ")
        assert "paired rounds" in " ".join(lines)

    def test_long_names_are_called_by_letters(self) -> None:
        devices = [
            {"name": name, "model": model}
            for name, model in (("cpu", "AMD EPYC 7763 64-Core Processor"), ("cuda:0", "NVIDIA H100"))
        ]
        measurements = [taken(record(device=device), 1e-3) for device in ("cpu", "cuda:0")]
        run = named("a", measurements, machine={"hostname": "bench", "devices": devices})
        lines = _printed(compared(run, by="device"))
        assert lines[1:3] == ["A  AMD EPYC 7763 64-Core Processor", "B  NVIDIA H100"]


class TestFooter:
    def test_one_sided_rows_are_cut_after_twenty(self) -> None:
        many = [taken(record(layer=f"l{number}"), 1e-3) for number in range(25)]
        lines = _two([*layers(x=1e-3), *many], layers(x=1e-3, y=1e-3))
        start = lines.index("25 rows in A only, not in B:")
        assert lines[start + 21 : start + 24] == [
            "  … and 5 more",
            "1 row in B only, not in A:",
            "  … and 1 more",
        ]

    def test_a_measured_floor_says_from_what(self) -> None:
        floors = Floors(separate=(0.05, 0.04, 0.03, 0.01, 0.01), separate_comparisons=240)
        lines = _two(layers(l=2e-5, m=2e-2), layers(l=2e-5, m=2e-2), floors=floors)
        assert "noise floor 1 % to 4 %, from 240 A/A comparisons on this machine" in lines

    def test_a_mean_of_single_rounds_has_no_interval(self) -> None:
        single = [taken(record(), 1e-3, rounds=1)]
        lines = _two(single, single)
        assert (
            "B is 1.000 times as fast as A (too few rounds for an interval): geometric mean of 1 row" in lines
        )

    def test_without_any_time_there_is_no_mean_and_no_floor(self) -> None:
        lines = _two([failed(record())], [failed(record())])
        assert not [line for line in lines if "mean" in line or line.startswith("noise floor")]
