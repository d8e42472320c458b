from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from rich.console import Console
from run_strategies import runs
from runs import failed, measured, record, run_of, steady

from dlbench.analysis.peaks import Peaks, Roof
from dlbench.analysis.table import frame
from dlbench.report.cells import rate, spread
from dlbench.report.console import print_table
from dlbench.results.measurement import Measurement, Run

PEAKS = Peaks({"cpu": Roof({"float32": 1e12}, ((2**28, 1e12),))})
NAIVE, IM2COL, LIBRARY = (record(name) for name in ("numba:naive", "numpy:im2col", "torch:library"))


def _printed(run: Run, width: int = 100, peaks: Peaks | None = PEAKS, stored: str = "") -> list[str]:
    file = io.StringIO()
    print_table(Console(file=file, width=width), run, frame(run, peaks), stored=stored)
    return file.getvalue().splitlines()


def _line(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.lstrip("▸≈ ").startswith(start)]
    return found


def _network(layers: int = 10) -> Run:
    return run_of(
        [
            measured(
                record(name, problem=f"conv2d 1x512x{n}x14 to 2048, 3x3 /2 pad 1", suite="resnet50",
                       layer=f"res{n}a_branch2b", count=n, device="cpu", flops=2 * 10**9),
                seconds * n,
            )
            for n in range(1, layers + 1)
            for name, seconds in (("numba:naive", 0.2), ("numpy:im2col", 0.0123), ("torch:library", 0.00456))
        ]
    )  # fmt: skip


def test_a_problem_is_a_heading_and_a_line_for_each_variant() -> None:
    lines = _printed(run_of([measured(NAIVE, 12.3e-3), measured(LIBRARY, 1.23e-3)]))
    assert [line.rstrip() for line in lines[:4]] == [
        "                          time   median  GFLOP/s  GB/s  peak      speedup   MiB  error  verdict",
        "conv2d 1x8x4x4 to 8 · float32 · forward · hot",
        "  numba:naive    12.3 ms ±2.1%  12.3 ms     0.16  0.04  0.0%     1×        1.00  1e-07  ok",
        "▸ torch:library  1.23 ms ±2.1%  1.23 ms     1.63  0.41  0.2%  10.0× ±2.1%  1.00  1e-07  ok",
    ]


def test_a_whole_network_fits_100_columns_with_every_wanted_column() -> None:
    run = _network()
    crashed = replace(run.measurements[4], verdict="out_of_memory", reason="needs about 3 GiB")
    lines = _printed(replace(run, measurements=(*run.measurements[:4], crashed, *run.measurements[5:])))
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == [
        "time",
        "median",
        "GFLOP/s",
        "GB/s",
        "peak",
        "speedup",
        "MiB",
        "error",
        "verdict",
    ]


def test_the_heading_comes_again_before_it_has_left_the_screen() -> None:
    lines = _printed(_network(10))
    headings = [index for index, line in enumerate(lines) if line.split()[:1] == ["time"]]
    assert headings == [0, 33]


@pytest.mark.parametrize("width", [50, 60, 80, 100, 140])
def test_a_line_of_numbers_is_never_wrapped_where_the_time_fits(width: int) -> None:
    lines = _printed(_network(2), width)
    rows = [line for line in lines[: lines.index("")] if line.lstrip("▸≈ ").startswith(("numba:", "torch:"))]
    assert [line.split()[-1] for line in rows] == ["ok"] * 4


def test_a_wide_terminal_shows_more() -> None:
    headings = _printed(_network(1), 200)[0].split()
    assert {"bound", "FLOP/B", "rounds", "samples"} <= set(headings)


def test_a_narrow_terminal_keeps_variant_time_speedup_and_verdict() -> None:
    assert _printed(_network(1), 50)[0].split() == ["time", "speedup", "verdict"]


def test_the_device_is_shown_where_there_are_several() -> None:
    gpu = record("torch:library", device="cuda:0")
    lines = _printed(run_of([measured(NAIVE, 1e-3), measured(gpu, 1e-3)]))
    assert "cuda:0" in _line(lines, "torch:library")
    assert "device" in lines[0]


def test_layouts_and_flags_are_shown_where_cases_differ_in_them() -> None:
    cases = [record("torch:library"), record("torch:library", layout="NHWC", flags="cudnn.benchmark")]
    cases[1] = replace(cases[1], key="other")
    lines = _printed(run_of([measured(cases[0], 2e-3), measured(cases[1], 1e-3)]), width=120)
    assert lines[0].split()[:3] == ["layout", "flags", "time"]
    assert _line(lines, "torch:library  NCHW").split()[:2] == ["torch:library", "NCHW"]
    assert _line(lines, "torch:library  NHWC").split()[1:4] == ["torch:library", "NHWC", "cudnn.benchmark"]


def test_the_plans_that_were_tried_stand_below_their_row() -> None:
    plans = [
        {"plan": "eng34_k2=5", "time_us": 12.3, "workspace": 2**20},
        {"plan": "eng0", "reason": "not supported on this card"},
    ]
    visit = steady(1e-5, conditions={"plans": plans})
    case = record("cupy:cudnn", device="cuda:0", flags="all-plans")
    lines = _printed(run_of([Measurement(case, (visit,))]))
    row = lines.index(_line(lines, "cupy:cudnn"))
    assert lines[row + 1 : row + 3] == [
        "    plan eng34_k2=5: 12.3 µs, workspace 1.00 MiB",
        "    plan eng0: not supported on this card",
    ]


class TestWinner:
    def test_the_fastest_is_marked_and_what_cannot_be_told_apart_from_it_too(self) -> None:
        lines = _printed(run_of([measured(NAIVE, 9e-3), measured(IM2COL, 1.01e-3), measured(LIBRARY, 1e-3)]))
        marks = [_line(lines, name)[0] for name in ("numba:naive", "numpy:im2col", "torch:library")]
        assert marks == [" ", "≈", "▸"]

    def test_a_case_alone_has_won_nothing(self) -> None:
        lines = _printed(run_of([measured(NAIVE, 1e-3), failed(LIBRARY)]))
        assert _line(lines, "numba:naive").startswith("  ")

    def test_a_suspect_case_does_not_win(self) -> None:
        cases = [replace(case, op="matmul") for case in (NAIVE, IM2COL, LIBRARY)]
        lines = _printed(run_of([measured(c, t) for c, t in zip(cases, (9e-3, 1e-3, 1e-9), strict=True)]))
        assert _line(lines, "numpy:im2col").startswith("▸")
        assert _line(lines, "torch:library").endswith("suspect")

    def test_on_a_terminal_it_is_bold_as_well(self) -> None:
        file = io.StringIO()
        run = run_of([measured(NAIVE, 9e-3), measured(LIBRARY, 1e-3)])
        print_table(
            Console(file=file, width=100, force_terminal=True, color_system="standard"), run, frame(run)
        )
        assert "\x1b[1m▸ torch:library" in file.getvalue()
        assert "\x1b[1m  numba:naive" not in file.getvalue()

    def test_a_file_gets_plain_text(self) -> None:
        assert "\x1b" not in "".join(_printed(_network(1)))


class TestVerdicts:
    def test_a_reason_stands_on_its_own_line_below_the_row(self) -> None:
        lines = _printed(run_of([measured(NAIVE, 1e-3), failed(LIBRARY, "unsupported", "no bfloat16")]))
        index = lines.index(_line(lines, "torch:library"))
        assert lines[index].split() == ["torch:library", "unsupported"]
        assert lines[index + 1] == "    no bfloat16"

    def test_a_long_reason_is_told_whole(self) -> None:
        reason = "word " * 60 + "end"
        lines = _printed(run_of([failed(LIBRARY, "failed", reason)]))
        told = [line.strip() for line in lines if line.startswith("    word")]
        assert " ".join(told) == reason

    def test_a_reason_that_many_rows_share_is_told_once_below(self) -> None:
        reason = "cupy cannot be imported; pip install 'dlbench[cuda12]'"
        cases = [record("cupy:naive", params=f'{{"c": {number}}}') for number in range(4)]
        lines = _printed(run_of([failed(case, "unsupported", reason) for case in cases]))
        assert [line for line in lines if reason in line] == [f"4 rows are unsupported: {reason}"]

    def test_markup_and_control_characters_of_strangers_are_only_text(self) -> None:
        text = "[red]a[/red] [link=http://x]b \x1b[31mc\x07"
        case = record("x[bold]:y", problem=text, suite="[s]", layer=text)
        printed = "\n".join(_printed(run_of([failed(case, "failed", text), measured(LIBRARY, 1e-3)]), 200))
        assert printed.count("[red]a[/red] [link=http://x]b \ufffd[31mc\ufffd") == 3
        assert "x[bold]:y" in printed
        assert "\x1b" not in printed
        assert "\x07" not in printed


class TestTotals:
    def test_a_network_is_summed_up(self) -> None:
        lines = _printed(_network(4))
        start = lines.index("All 10 layers of resnet50 in this run, 4 distinct · float32 · forward · hot")
        assert [line.rstrip() for line in lines[start + 1 : start + 4]] == [
            "  numba:naive     6.00 s    3.33 GFLOP/s    1.00×",
            "  numpy:im2col    369 ms    54.2 GFLOP/s    16.3×",
            "▸ torch:library   137 ms     146 GFLOP/s    43.9×",
        ]

    def test_a_total_with_a_hole_is_not_shown_and_nobody_wins(self) -> None:
        run = _network(4)
        lines = _printed(
            replace(run, measurements=(*run.measurements[:-1], failed(run.measurements[-1].case)))
        )
        start = lines.index("All 10 layers of resnet50 in this run, 4 distinct · float32 · forward · hot")
        assert lines[start + 3] == "  torch:library  no total: 1 of 4 distinct layers have no time"
        assert lines[start + 2].startswith("  numpy:im2col")

    def test_the_network_as_one_call_stands_beside_the_sum_of_its_layers(self) -> None:
        run = _network(4)
        n = json.loads(run.measurements[0].case.params).get("n")
        params = json.dumps({"model": "resnet50", "n": n, "size": None, "divisor": 1})
        case = record("torch:library", op="network", params=params)
        lines = _printed(replace(run, measurements=(measured(case, 152e-3), *run.measurements)))
        start = lines.index("All 10 layers of resnet50 in this run, 4 distinct · float32 · forward · hot")
        assert [line.rstrip() for line in lines[start + 2 : start + 4]] == [
            "  numpy:im2col    369 ms    54.2 GFLOP/s    16.3×",
            "▸ torch:library   137 ms     146 GFLOP/s    43.9×  90% of the network's own 152 ms",
        ]

    def test_problems_of_no_suite_have_none(self) -> None:
        assert not [line for line in _printed(run_of([measured(NAIVE, 1e-3)])) if line.startswith("All ")]


class TestFooter:
    def _footer(self, run: Run, peaks: Peaks | None = PEAKS) -> str:
        lines = _printed(run, peaks=peaks, stored="/data/runs.db")
        return " ".join(lines[lines.index("") + 1 :])

    def test_it_tells_run_time_cases_samples_machine_and_store(self) -> None:
        footer = self._footer(run_of([measured(NAIVE, 1e-3), failed(LIBRARY)]))
        assert footer.startswith(
            "run conv-1 · 2m00s of measuring · 2 cases (1 ok, 1 unsupported) · 60 samples in 3 rounds "
            "cpu A CPU · 2 threads · bench stored in /data/runs.db "
            "▸ fastest · ≈ not told apart from it · time: 5 % quantile of the samples ± half its 95 % "
        )
        assert "speedup: over numba:naive, from paired rounds" in footer

    def test_wide_intervals_ask_for_a_larger_budget(self) -> None:
        run = run_of([measured(NAIVE, 1e-3, verdict="unconverged", reason="±9%"), measured(LIBRARY, 1e-3)])
        assert "1 of 2 intervals are wider than asked: a larger --budget narrows them." in self._footer(run)

    def test_noise_asks_for_a_quiet_machine(self) -> None:
        run = run_of([measured(NAIVE, 1e-3, verdict="noisy", reason="load 3"), measured(LIBRARY, 1e-3)])
        assert "1 of 2 rows are noisy: end other programs and measure again." in self._footer(run)

    def test_an_unfinished_run_can_be_resumed(self) -> None:
        run = run_of([measured(NAIVE, 1e-3)], finished="")
        assert (
            "The run has not ended: if it was stopped, `dlbench run CONFIG --resume` goes on."
            in self._footer(run)
        )

    def test_unknown_peaks_can_be_measured(self) -> None:
        run = run_of([measured(NAIVE, 1e-3)])
        assert "`dlbench run peaks` measures this machine's peaks." in self._footer(run, None)
        assert "dlbench run peaks" not in self._footer(run)

    def test_a_run_without_a_case_says_so(self) -> None:
        assert "no cases · 0 samples in 0 rounds" in " ".join(_printed(run_of([])))


@settings(max_examples=40, deadline=None)
@given(run=runs())
def test_every_run_can_be_printed(run: Run) -> None:
    assert _printed(replace(run, environment={}))


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, ""),
        (1.0, 1.0, ""),
        (0.98, 1.02, "±2.0%"),
        (0.5, 2.0, "±69%"),
        (0.905, 1.105, "±10%"),
        (0.1, 10.0, ">100%"),
    ],
)
def test_an_interval_is_half_its_width_on_a_log_scale(
    low: float | None, high: float | None, text: str
) -> None:
    assert spread(low, high) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (1234.5, "1234"), (12.345, "12.3"), (1.0, "1.00"), (0.126, "0.13"), (0.0, "0.00")],
)
def test_a_rate_has_three_digits_but_at_most_two_decimals(value: float | None, text: str) -> None:
    assert rate(value) == text


def test_a_networks_size_stands_in_its_heading() -> None:
    case = replace(record("torch:library"), parameters=25_557_032, activations=11_114_000)
    (heading,) = [line for line in _printed(run_of([measured(case, 1e-3)])) if "parameters" in line]
    assert heading.endswith(" · 25.6 M parameters · 11.1 M activations")
    assert not any("parameters" in line for line in _printed(run_of([measured(NAIVE, 1e-3)])))
