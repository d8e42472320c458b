from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dlbench.devices.datasheet import (
    DTYPES,
    Board,
    Catalogue,
    Source,
    bibliography,
    catalogue,
    datasheet,
    for_devices,
    table,
)
from dlbench.devices.device import Device

GIB = 2**30
MANUAL = Path(__file__).parents[2] / "docs" / "peaks.md"
BOARDS = catalogue().boards
GEFORCE_RATES = {
    "RTX 20": {"float16": 4, "int8": 16},
    "RTX 30": {"tf32": 1, "float16": 2, "bfloat16": 2, "int8": 8},
    "RTX 40": {"tf32": 1, "float16": 2, "bfloat16": 2, "float8": 4, "int8": 8},
    "RTX 50": {"tf32": 1, "float16": 2, "bfloat16": 2, "float8": 4, "int8": 8},
}
"""Matrix rates over the float32 rate, with float32 accumulation, of the architectures' whitepapers."""


def _named(boards: tuple[Board, ...]) -> list[str]:
    return [board.board for board in boards]


@pytest.mark.parametrize("board", BOARDS, ids=_named(BOARDS))
class TestEachBoard:
    def test_its_names_find_it_and_no_other(self, board: Board) -> None:
        for name in board.names:
            found = datasheet(name, round((board.memory or 0) * GIB))
            assert found is not None
            assert found.board == board.board

    def test_its_names_without_the_brand_find_it_too(self, board: Board) -> None:
        for name in board.names:
            bare = name.removeprefix("NVIDIA ").removeprefix("AMD ")
            found = datasheet(bare, round((board.memory or 0) * GIB))
            assert found is not None
            assert found.board == board.board

    def test_its_float32_rate_follows_from_cores_and_clock(self, board: Board) -> None:
        if board.cores is not None and board.boost_mhz is not None:
            computed = board.per_clock * board.cores * board.boost_mhz / 1e6
            assert board.vector["float32"] == pytest.approx(computed, rel=0.02)

    def test_narrower_numbers_are_never_slower_on_the_matrix_units(self, board: Board) -> None:
        order = ("float64", "float32", "tf32", "float16", "float8", "int8")
        rates = [board.matrix[dtype] for dtype in order if dtype in board.matrix]
        assert rates == sorted(rates)

    def test_what_it_refers_to_is_named(self, board: Board) -> None:
        assert catalogue().sourced(board)


@pytest.mark.parametrize("series", GEFORCE_RATES)
def test_a_geforce_boards_matrix_rates_follow_from_its_float32_rate(series: str) -> None:
    boards = [board for board in BOARDS if board.board.startswith(f"NVIDIA GeForce {series}")]
    assert len(boards) >= 4
    for board in boards:
        ratios = {dtype: rate / board.vector["float32"] for dtype, rate in board.matrix.items()}
        assert ratios == pytest.approx(GEFORCE_RATES[series], rel=0.01)


@pytest.mark.parametrize(
    ("model", "memory", "board", "dtype", "tflops", "gbps"),
    [
        ("NVIDIA A100-SXM4-80GB", 80, "NVIDIA A100 SXM4 80 GB", "bfloat16", 312, 2039),
        ("A100-PCIE-40GB", 40, "NVIDIA A100 PCIe 40 GB", "float64", 19.5, 1555),
        ("NVIDIA H100 80GB HBM3", 80, "NVIDIA H100 SXM5", "float16", 989.4, 3350),
        ("NVIDIA H100 PCIe", 80, "NVIDIA H100 PCIe", "float16", 756, 2039),
        ("Tesla V100-SXM2-16GB", 16, "NVIDIA Tesla V100 SXM2 16 GB", "float32", 15.7, 900),
        ("NVIDIA GeForce RTX 4090", 24, "NVIDIA GeForce RTX 4090", "float16", 165.2, 1008),
        ("GeForce RTX 3080", 10, "NVIDIA GeForce RTX 3080 10 GB", "float32", 29.8, 760),
        ("GeForce RTX 3080", 12, "NVIDIA GeForce RTX 3080 12 GB", "float32", 30.6, 912),
        ("AMD Instinct MI300X", 192, "AMD Instinct MI300X", "float8", 2614.9, 5300),
        ("AMD Instinct MI250X", 64, "AMD Instinct MI250X, one of its two dies", "float16", 191.5, 1638.4),
        (
            "Intel(R) Data Center GPU Max 1550",
            64,
            "Intel Data Center GPU Max 1550, one of its two stacks",
            "float32",
            26.2,
            1638.4,
        ),
    ],
)
def test_a_board_is_found_by_what_its_driver_calls_it(
    model: str, memory: int, board: str, dtype: str, tflops: float, gbps: float
) -> None:
    found = datasheet(model, memory * GIB)
    assert found is not None
    assert found.board == board
    assert found.flops[dtype] == pytest.approx(tflops * 1e12)
    assert found.bandwidth == pytest.approx(gbps * 1e9)


@pytest.mark.parametrize(
    "model",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 409",
        "NVIDIA GeForce GTX 1080",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100",
        "Orin",
        "AMD Instinct MI250X / MI250",
        "AMD EPYC 7763 64-Core Processor",
        "",
    ],
)
def test_a_board_that_is_not_known_whole_has_no_datasheet(model: str) -> None:
    assert datasheet(model) is None


def test_a_longer_name_is_another_board() -> None:
    plain, extended = datasheet("GeForce RTX 4080"), datasheet("GeForce RTX 4080 SUPER")
    assert plain is not None
    assert extended is not None
    assert plain.flops["float32"] < extended.flops["float32"]


def test_a_device_with_a_part_of_the_memory_is_not_the_board() -> None:
    assert datasheet("NVIDIA H100 80GB HBM3", 81559 * 2**20) is not None
    assert datasheet("NVIDIA H100 80GB HBM3", 10 * GIB) is None


def test_boards_of_one_name_cannot_be_told_apart_without_their_memory() -> None:
    assert datasheet("NVIDIA GeForce RTX 3080") is None


def test_float16_is_at_float32_accumulation_where_the_two_differ() -> None:
    found = datasheet("NVIDIA GeForce RTX 3090")
    assert found is not None
    assert found.flops["float16"] == pytest.approx(71.2e12)  # 142 with float16 accumulation


def test_the_faster_of_vector_and_matrix_units_counts() -> None:
    found = datasheet("AMD Instinct MI210")
    assert found is not None
    assert found.flops["float64"] == pytest.approx(45.3e12)
    assert "tf32" not in found.flops


def test_the_environment_holds_the_datasheets_of_the_devices_that_have_one() -> None:
    sheets = for_devices(
        [
            Device("cpu", "Intel(R) Xeon Phi(TM) CPU 7250 @ 1.40GHz", "GenuineIntel", memory=96 * GIB),
            Device("cuda:0", "NVIDIA B200", "nvidia", memory=183359 * 2**20),
            Device("cuda:1", "NVIDIA Something New", "nvidia", memory=80 * GIB),
        ]
    )
    assert sheets.keys() == {"cpu", "cuda:0"}
    assert sheets["cpu"]["flops"] == pytest.approx({"float64": 3.05e12, "float32": 6.09e12})
    assert sheets["cpu"].keys() == {"board", "flops", "source", "boost_mhz"}
    assert sheets["cuda:0"]["bandwidth"] == pytest.approx(7.7e12)
    assert sheets["cuda:0"].keys() == {"board", "flops", "source", "bandwidth"}
    assert sheets["cuda:0"]["source"].startswith("NVIDIA Blackwell datasheet")


def test_the_manual_holds_every_board_and_every_source() -> None:
    manual = MANUAL.read_text(encoding="utf-8")
    assert table() in manual
    assert bibliography() in manual


def test_the_table_has_a_row_for_every_board_and_a_column_for_every_dtype() -> None:
    rows = table().splitlines()
    assert len(rows) == len(BOARDS) + 2
    assert {row.count(" | ") for row in rows} == {len(DTYPES) + 3}
    assert "| NVIDIA A10 |  | 31.2 | **62.5** | **125** | **125** |  | **250** | 600 | 24 | a10 |" in rows


class TestAWrongCatalogue:
    def test_a_source_that_is_not_named_is_refused(self) -> None:
        board = Board(board="X", names=("X",), vector={"float32": 1.0}, source=("missing",))
        with pytest.raises(ValidationError, match="X refers to unknown sources: missing"):
            Catalogue(sources={"other": Source(title="Other")}, boards=(board,))

    def test_a_board_without_a_rate_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="X has no rate"):
            Board(board="X", names=("X",), source=("a",))

    def test_a_dtype_that_is_not_known_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="float17"):
            Board.model_validate({"board": "X", "names": ["X"], "vector": {"float17": 1.0}, "source": ["a"]})

    def test_a_board_without_a_source_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="source"):
            Board(board="X", names=("X",), vector={"float32": 1.0}, source=())
