"""NVIDIA boards through a stand-in for the driver's library: order, slices, missing rights, a driver that vanishes."""

from __future__ import annotations

import os
from dataclasses import replace

import pynvml
import pytest
from fake_nvml import FakeBoard, FakeNvml
from hypothesis import given
from hypothesis import strategies as st

from dlbench.devices import cuda, nvml
from dlbench.devices.advice import board_warnings, software_warnings
from dlbench.devices.device import Device
from dlbench.devices.nvml import Board, OtherProcess, boards, find
from dlbench.timing.throttle import Gauge, steady

A, B = FakeBoard(), FakeBoard("NVIDIA T4", "GPU-bbbb", "00000000:AF:00.0")
SLICE = FakeBoard("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "MIG-cccc")


def only(board: FakeBoard) -> Board:
    (found,) = boards(FakeNvml(board))
    return found


def test_a_board_is_found_by_its_uuid_whatever_its_number() -> None:
    library = FakeNvml(A, B)
    found = find("gpu-BBBB", "", library)
    assert found is not None
    assert (found.name, found.uuid) == ("NVIDIA T4", "GPU-bbbb")


@pytest.mark.parametrize("address", ["0000:AF:00.0", "00000000:af:00.0", "af:00.0", "0000:AF:0.0"])
def test_a_board_is_found_by_its_pci_address_however_it_is_written(address: str) -> None:
    found = find("", address, FakeNvml(A, B))
    assert found is not None
    assert found.uuid == "GPU-bbbb"


@pytest.mark.parametrize(
    ("uuid", "pci"), [("GPU-zzzz", ""), ("", "0001:AF:00.0"), ("", "nonsense"), ("", "")]
)
def test_a_strangers_board_is_not_found(uuid: str, pci: str) -> None:
    assert find(uuid, pci, FakeNvml(A, B)) is None


def test_a_slice_is_found_by_its_own_uuid_and_read_through_its_board() -> None:
    library = FakeNvml(B, replace(A, slices=[SLICE], mig=(1, 1), temperature=55))
    found = find("MIG-cccc", "", library)
    assert found is not None
    assert found.sliced
    reading = found.read()
    assert reading is not None
    assert reading.temperature_c == 55.0
    assert found.settings()["slice"] == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"


def test_a_reading_is_in_plain_units() -> None:
    reading = only(replace(A, reasons=pynvml.nvmlClocksEventReasonHwThermalSlowdown | 4)).read()
    assert reading == nvml.Reading(
        sm_clock_hz=1410e6,
        default_sm_clock_hz=1410e6,
        memory_clock_hz=1215e6,
        temperature_c=40.0,
        power_w=60.0,
        reasons=("HW thermal slowdown", "SW power cap"),
        memory_used=2**30,
        memory_total=40 * 2**30,
        utilisation=0.37,
    )


def test_where_the_driver_no_longer_tells_a_default_clock_the_highest_is_it() -> None:
    reading = only(replace(A, default_mhz=None, most_mhz=1980)).read()
    assert reading is not None
    assert reading.default_sm_clock_hz == 1980e6


def test_what_a_board_does_not_support_or_may_not_tell_is_left_out() -> None:
    refusing = replace(
        A,
        errors={
            "nvmlDeviceGetTotalEnergyConsumption": pynvml.NVML_ERROR_NOT_SUPPORTED,
            "nvmlDeviceGetEccMode": pynvml.NVML_ERROR_NOT_SUPPORTED,
            "nvmlDeviceGetComputeRunningProcesses": pynvml.NVML_ERROR_NO_PERMISSION,
            "nvmlDeviceGetPowerUsage": pynvml.NVML_ERROR_NOT_SUPPORTED,
        },
    )
    board = only(refusing)
    assert board.energy_j() is None
    assert board.others() == ()
    assert "ecc" not in board.settings()
    reading = board.read()
    assert reading is not None
    assert reading.power_w is None
    assert reading.temperature_c == 40.0


def test_a_board_that_is_lost_while_it_is_watched_answers_nothing_ever_after() -> None:
    library = FakeNvml(A)
    (board,) = boards(library)
    assert board.read() is not None
    library.gone = True
    assert board.read() is None
    library.gone = False
    assert board.read() is None
    assert board.energy_j() is None


def test_a_lost_board_takes_no_samples_with_it() -> None:
    from fakes import FakeClock

    library = FakeNvml(A)
    (board,) = boards(library)
    gauge: Gauge = board
    library.gone = True
    assert steady(list, gauge, FakeClock(), 1.0).throttled == ""


def test_energy_is_in_joules() -> None:
    assert only(A).energy_j() == 1000.0


def test_our_own_process_is_no_other() -> None:
    board = only(replace(A, processes=[(os.getpid(), 2**20), (2**22 + 1, 3 * 2**30)]))
    assert board.others() == (OtherProcess(2**22 + 1, "", 3 * 2**30),)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, None),
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, ""),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, ""),
        (
            pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
            "NVIDIA's driver and its library have different versions: reboot, or reload the driver",
        ),
        (pynvml.NVML_ERROR_UNKNOWN, "NVIDIA's management library does not start: NVML error 999"),
    ],
)
def test_a_library_that_does_not_start_says_why_unless_there_is_no_driver(
    error: int | None, said: str | None
) -> None:
    library = FakeNvml(A, init_error=error)
    assert nvml.start(library) == said
    assert bool(boards(library)) is (error is None)


class TestNumbers:
    """Which boards CUDA shows, and as what."""

    def _names(self, visible: str | None, *found: FakeBoard) -> list[str]:
        environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        return [f"{gpu.name} {gpu.uuid}" for gpu in cuda.gpus(FakeNvml(*found), environ)]

    @pytest.mark.parametrize(
        ("visible", "expected"),
        [
            (None, ["cuda:0 GPU-aaaa", "cuda:1 GPU-bbbb"]),
            ("1", ["cuda:0 GPU-bbbb"]),
            ("1,0", ["cuda:0 GPU-bbbb", "cuda:1 GPU-aaaa"]),
            ("GPU-b,0", ["cuda:0 GPU-bbbb", "cuda:1 GPU-aaaa"]),
            ("0,7,1", ["cuda:0 GPU-aaaa"]),
            ("0,0", ["cuda:0 GPU-aaaa"]),
            ("-1", []),
            ("", []),
            ("GPU-", []),
            ("NoDevFiles", []),
        ],
    )
    def test_cuda_visible_devices_chooses_up_to_the_first_entry_that_is_none(
        self, visible: str | None, expected: list[str]
    ) -> None:
        assert self._names(visible, A, B) == expected

    def test_a_slice_can_be_chosen_and_is_the_last(self) -> None:
        assert self._names("MIG-cccc,0", replace(A, slices=[SLICE]), B) == ["cuda:0 MIG-cccc"]

    def test_where_mig_is_on_its_first_slice_is_all_there_is(self) -> None:
        assert self._names(None, replace(A, slices=[SLICE], mig=(1, 1)), B) == ["cuda:0 MIG-cccc"]

    def test_without_a_driver_there_are_none(self) -> None:
        library = FakeNvml(A, init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        assert cuda.gpus(library, {}) == ()

    def test_a_gpu_has_its_model_memory_and_driver(self) -> None:
        (gpu,) = cuda.gpus(FakeNvml(A), {})
        assert gpu == Device(
            "cuda:0", A.name, "nvidia", memory=40 * 2**30, driver="580.65.06", uuid="GPU-aaaa"
        )

    @given(st.text(alphabet="01234567-,GPUMIab ", max_size=20))
    def test_whatever_is_written_there_chooses_different_boards_that_are_there(self, visible: str) -> None:
        found = self._names(visible, A, B)
        uuids = [name.split()[1] for name in found]
        assert len(set(uuids)) == len(uuids)
        assert set(uuids) <= {"GPU-aaaa", "GPU-bbbb"}


class TestWarnings:
    def _said(self, board: FakeBoard) -> list[str]:
        return board_warnings({"cuda:0": only(replace(board, default_mhz=1410))})

    def test_a_board_as_it_should_be_is_warned_of_for_its_clocks_alone(self) -> None:
        assert self._said(A) == [
            (
                "cuda:0: clocks are not locked: they follow heat and load; `sudo nvidia-smi -lgc CLOCK` locks them "
                "(dlbench never does)"
            )
        ]

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            (
                {"mig": (1, 1)},
                "MIG is on: a slice of the board is measured, and its neighbours share the memory's bandwidth",
            ),
            ({"ecc": (0, 0)}, "ECC is off: boards with ECC on have less bandwidth; compare like with like"),
            (
                {"persistence": 0},
                "persistence mode is off: the driver starts anew for each process; `sudo nvidia-smi -pm 1` keeps it up",
            ),
            (
                {"limit_mw": 250_000},
                "the power limit is 250 W, its default 400 W: the board will be slower than others",
            ),
            ({"lanes": 8}, "PCIe has 8 of 16 lanes: transfers are slower than the board allows"),
            ({"temperature": 84}, "84 °C before the measurement: let it cool, or it will slow down"),
            (
                {"reasons": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown},
                "slowed down now (HW power brake slowdown): rows will be `throttled`",
            ),
            (
                {"processes": [(2**22 + 1, 3 * 2**30)]},
                f"process {2**22 + 1} holds 3.00 GiB and shares the board: end it before measuring",
            ),
            (
                {"processes": [(2**22 + 1, None)]},
                f"process {2**22 + 1} shares the board: end it before measuring",
            ),
        ],
    )
    def test_what_spoils_a_measurement_is_said_with_what_to_do(
        self, changes: dict[str, object], line: str
    ) -> None:
        assert f"cuda:0: {line}" in self._said(replace(A, **changes))  # type: ignore[arg-type]

    def test_locked_clocks_are_no_matter(self) -> None:
        assert self._said(replace(A, most_mhz=1755))[:0] == []
        assert not any("not locked" in line for line in self._said(replace(A, most_mhz=1755)))

    def test_a_driver_that_no_longer_answers_is_said_so(self) -> None:
        library = FakeNvml(A)
        (board,) = boards(library)
        library.gone = True
        assert "cuda:0: the driver does not answer for this board any more" in board_warnings(
            {"cuda:0": board}
        )

    def test_nothing_is_ever_set_on_a_board(self) -> None:
        library = FakeNvml(A)
        (board,) = boards(library)
        board_warnings({"cuda:0": board})
        assert all(question.startswith("nvmlDeviceGet") for question in library.asked)


class TestSoftware:
    CARD = Device("cuda:0", "NVIDIA T4", "nvidia", driver="550.54.14")

    def test_a_torch_without_cuda_beside_a_card_is_said_with_the_command(self) -> None:
        lines = software_warnings([self.CARD], {"torch": "2.13.0+cpu", "cupy-cuda12x": "14.2.0"})
        assert lines == [
            (
                "torch 2.13.0+cpu was built without CUDA, beside cuda:0 (NVIDIA T4): pip install --force-reinstall torch "
                "--index-url https://download.pytorch.org/whl/cu130"
            )
        ]

    def test_a_missing_cupy_is_said_with_the_command(self) -> None:
        assert software_warnings([self.CARD], {"torch": "2.13.0"}) == [
            (
                "cupy is not installed, beside cuda:0 (NVIDIA T4): "
                'pip install "cupy-cuda13x[ctk]" (cupy-cuda12x for a driver of CUDA 12)'
            )
        ]

    def test_a_driver_older_than_cupys_cuda_is_said(self) -> None:
        assert software_warnings([self.CARD], {"torch": "2.13.0", "cupy-cuda13x": "14.2.0"}) == [
            "driver 550.54.14 is too old for cupy-cuda13x, which needs 580 or newer: update the driver or take another cupy"
        ]

    def test_without_a_card_nothing_is_missing(self) -> None:
        assert software_warnings([], {"torch": "2.13.0+cpu"}) == []
        assert software_warnings([], {}, "the versions differ") == ["the versions differ"]
