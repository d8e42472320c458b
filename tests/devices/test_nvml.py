"""NVIDIA boards through a stand-in for the driver's library: order, slices, missing rights, a driver that vanishes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pynvml
import pytest
from fake_nvml import QUESTIONS, FakeBoard, FakeNvml
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


@pytest.mark.parametrize("uuid", ["aaaa", "GPU-aaaa", "MIG-aaaa"])
def test_a_uuid_of_16_bytes_names_a_board_whatever_is_written_before_it(uuid: str) -> None:
    found = find(uuid, "", FakeNvml(B, A))
    assert found is not None
    assert found.uuid == "GPU-aaaa"


def test_a_framework_that_takes_a_slices_uuid_for_a_boards_finds_the_slice() -> None:
    found = find("GPU-cccc", A.pci, FakeNvml(B, replace(A, slices=[SLICE], mig=(1, 1))))
    assert found is not None
    assert (found.uuid, found.sliced) == ("MIG-cccc", True)


def test_boards_without_a_uuid_are_told_apart_by_their_address() -> None:
    found = find("", B.pci, FakeNvml(replace(A, uuid=""), replace(B, uuid="")))
    assert found is not None
    assert found.name == "NVIDIA T4"


def test_a_board_that_tells_no_address_comes_last() -> None:
    nameless = replace(A, errors={"nvmlDeviceGetPciInfo": pynvml.NVML_ERROR_UNKNOWN})
    assert [board.uuid for board in boards(FakeNvml(nameless, B))] == ["GPU-bbbb", "GPU-aaaa"]


def test_a_board_that_may_not_be_opened_is_none() -> None:
    refused = replace(A, errors={"nvmlDeviceGetHandleByIndex": pynvml.NVML_ERROR_NO_PERMISSION})
    assert [board.uuid for board in boards(FakeNvml(refused, B))] == ["GPU-bbbb"]


def test_a_reading_and_settings_can_be_written_as_json() -> None:
    board = only(A)
    reading = board.read()
    assert reading is not None
    assert json.loads(json.dumps(asdict(reading)))["sm_clock_hz"] == 1410e6
    assert json.loads(json.dumps(board.settings())) == {
        "cuda driver": "13.0",
        "vbios": "92.00",
        "power limit w": 400.0,
        "default power limit w": 400.0,
        "highest power limit w": 400.0,
        "ecc": "on",
        "ecc after reset": "on",
        "mig": "off",
        "mig after reset": "off",
        "persistence mode": "on",
        "compute mode": "default",
        "memory bus bits": 5120,
        "sm clock default mhz": 1410,
        "sm clock set mhz": 1410,
        "sm clock boost mhz": 1410,
        "sm clock highest mhz": 1410,
        "pcie generation": 4,
        "pcie highest generation": 4,
        "pcie lanes": 16,
        "pcie highest lanes": 16,
    }


def test_what_waits_for_a_reset_is_told_beside_what_is() -> None:
    told = only(replace(A, ecc=(1, 0), mig=(0, 1))).settings()
    assert [told[name] for name in ("ecc", "ecc after reset", "mig", "mig after reset")] == [
        *("on", "off"),
        *("off", "on"),
    ]


@pytest.mark.parametrize(
    "question", ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
)
def test_the_reasons_are_read_by_their_new_or_their_old_name(question: str) -> None:
    names = {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"}
    other = names - {question}
    deprecated = dict.fromkeys(other, pynvml.NVML_ERROR_DEPRECATED)
    reading = only(replace(A, reasons=8 | 32, errors=deprecated)).read()
    assert reading is not None
    assert reading.reasons == ("HW slowdown", "SW thermal slowdown")


def test_the_temperature_is_read_where_only_the_newer_question_is_left() -> None:
    reading = only(replace(A, errors={"nvmlDeviceGetTemperature": pynvml.NVML_ERROR_DEPRECATED})).read()
    assert reading is not None
    assert reading.temperature_c == 40.0


def test_a_board_that_answers_nothing_is_still_there() -> None:
    silent = replace(A, errors=dict.fromkeys(QUESTIONS, pynvml.NVML_ERROR_NOT_SUPPORTED))
    board = Board(FakeNvml(silent), silent)
    assert board.read() == nvml.Reading()
    assert board.settings() == {"cuda driver": "13.0"}
    assert (board.energy_j(), board.others()) == (None, ())
    assert not board.gone


def test_a_reading_is_in_plain_units() -> None:
    reading = only(replace(A, reasons=pynvml.nvmlClocksEventReasonHwThermalSlowdown | 4)).read()
    assert reading == nvml.Reading(
        sm_clock_hz=1410e6,
        default_sm_clock_hz=1410e6,
        memory_clock_hz=1215e6,
        temperature_c=40.0,
        power_w=60.0,
        power_limit_w=400.0,
        reasons=("HW thermal slowdown", "SW power cap"),
        memory_used=2**30,
        memory_total=40 * 2**30,
        utilisation=0.37,
    )


def test_where_the_driver_no_longer_tells_a_default_clock_the_highest_is_it() -> None:
    board = only(replace(A, default_mhz=None, most_mhz=1980))
    reading = board.read()
    assert reading is not None
    assert reading.default_sm_clock_hz == 1980e6
    assert "sm clock default mhz" not in board.settings()


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


def test_nobody_counts_the_joules_of_a_slice() -> None:
    library = FakeNvml(replace(A, slices=[SLICE], mig=(1, 1)))
    whole, piece = find("GPU-aaaa", "", library), find("MIG-cccc", "", library)
    assert whole is not None
    assert piece is not None
    assert (whole.energy_j(), piece.energy_j()) == (None, None)


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
            "NVIDIA's driver/library version mismatch: reboot, or reload the driver's kernel modules",
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
            ("GPU-b,GPU-a", ["cuda:0 GPU-bbbb", "cuda:1 GPU-aaaa"]),
            ("GPU-b,0", ["cuda:0 GPU-bbbb"]),
            ("1,GPU-a", ["cuda:0 GPU-bbbb"]),
            (" +1 , 0x", ["cuda:0 GPU-bbbb", "cuda:1 GPU-aaaa"]),
            ("0,7,1", ["cuda:0 GPU-aaaa"]),
            ("0,,1", ["cuda:0 GPU-aaaa"]),
            ("0,-1,1", ["cuda:0 GPU-aaaa"]),
            ("0,0", []),
            ("GPU-a,GPU-aa", []),
            ("GPU-z", []),
            ("gpu-b", []),
            ("MIG-zzzz", []),
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

    def test_a_divided_board_that_is_chosen_is_its_first_slice(self) -> None:
        divided = replace(A, slices=[SLICE, replace(SLICE, uuid="MIG-dddd")], mig=(1, 1))
        assert self._names("0,1", divided, B) == ["cuda:0 MIG-cccc"]
        assert self._names("GPU-a", divided, B) == ["cuda:0 MIG-cccc"]
        assert self._names("1,0", divided, B) == ["cuda:0 GPU-bbbb", "cuda:1 MIG-cccc"]

    def test_a_divided_board_without_slices_is_none(self) -> None:
        assert self._names(None, replace(A, mig=(1, 1)), B) == []
        assert self._names("0", replace(A, mig=(1, 1)), B) == []

    def test_a_divided_board_behind_whole_ones_is_left_out(self) -> None:
        first = replace(B, pci="00000000:01:00.0")
        assert self._names(None, first, replace(A, slices=[SLICE], mig=(1, 1))) == ["cuda:0 GPU-bbbb"]

    def test_boards_are_numbered_by_pci_address_whatever_the_librarys_order(self) -> None:
        third = FakeBoard("NVIDIA L4", "GPU-cccc", "00000001:03:00.0")
        assert self._names(None, third, B, A) == ["cuda:0 GPU-aaaa", "cuda:1 GPU-bbbb", "cuda:2 GPU-cccc"]

    def test_without_a_driver_there_are_none(self) -> None:
        library = FakeNvml(A, init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        assert cuda.gpus(library, {}) == ()

    def test_a_gpu_has_its_model_memory_and_driver(self) -> None:
        (gpu,) = cuda.gpus(FakeNvml(A), {})
        assert gpu == Device(
            "cuda:0", A.name, "nvidia", memory=40 * 2**30, driver="580.65.06", uuid="GPU-aaaa"
        )

    @given(
        st.permutations(range(4)), st.integers(0, 4), st.sampled_from(["", ",9,1", ",-1,0", ",GPU-", ", ,2"])
    )
    def test_numbers_choose_in_their_order_up_to_what_is_none(
        self, order: list[int], many: int, end: str
    ) -> None:
        boards = [FakeBoard(uuid=f"GPU-{number}", pci=f"0000:0{number}:00.0") for number in range(4)]
        written = ",".join(map(str, order[:many])) + end
        assert self._names(written, *boards) == [
            f"cuda:{place} GPU-{number}" for place, number in enumerate(order[:many])
        ]

    @given(st.text(alphabet="01234567-,GPUMIab ", max_size=20))
    def test_whatever_is_written_there_chooses_different_boards_that_are_there(self, visible: str) -> None:
        found = self._names(visible, A, B)
        uuids = [name.split()[1] for name in found]
        assert len(set(uuids)) == len(uuids)
        assert set(uuids) <= {"GPU-aaaa", "GPU-bbbb"}


class TestWarnings:
    def _said(self, board: FakeBoard) -> list[str]:
        return board_warnings({"cuda:0": only(board)})

    def test_a_board_as_it_should_be_is_warned_of_for_its_clocks_alone(self) -> None:
        assert self._said(A) == [
            (
                "cuda:0: clocks follow heat and load unless you have locked them, which NVML does not tell: "
                "`sudo nvidia-smi -lgc CLOCK` locks them (dlbench never does)"
            )
        ]

    def test_a_board_without_applications_clocks_is_warned_of_in_the_same_words(self) -> None:
        assert self._said(replace(A, default_mhz=None)) == self._said(A)

    @pytest.mark.parametrize(
        ("changes", "line"),
        [
            (
                {"mig": (1, 1)},
                "MIG is on: a slice of the board is measured, and its neighbours share its clock and power limit",
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
            (
                {"lanes": 8},
                "PCIe has 8 of 16 lanes: transfers are slower than the board allows; look at its slot",
            ),
            ({"temperature": 84}, "84 °C before the measurement: let it cool, or it will slow down"),
            (
                {"reasons": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown},
                (
                    "slowed down now (HW power brake slowdown): rows may be `throttled`; "
                    "look at its cooling and power supply"
                ),
            ),
            (
                {"reasons": pynvml.nvmlClocksEventReasonSwThermalSlowdown},
                "slowed down now (SW thermal slowdown): rows may be `throttled`; look at its cooling and power supply",
            ),
            (
                {"bus_bits": 384},
                "ECC is on: with GDDR memory it costs bandwidth; compare with boards that have it on",
            ),
            ({"ecc": (1, 0)}, "ECC will be off after the next reset: runs after it are not comparable"),
            ({"mig": (0, 1)}, "MIG will be on after the next reset: runs after it are not comparable"),
            (
                {"compute_mode": pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS},
                (
                    "compute mode is exclusive process: dlbench has a worker for each backend; "
                    "`sudo nvidia-smi -c 0` lets them share the board"
                ),
            ),
            (
                {"auto_boost": 1},
                "auto boost is on: clocks follow heat; `sudo nvidia-smi --auto-boost-default=0` turns it off",
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

    def test_a_clock_that_a_setting_limits_is_no_matter(self) -> None:
        limited = replace(A, reasons=pynvml.nvmlClocksEventReasonApplicationsClocksSetting)
        assert self._said(limited) == []

    def test_applications_clocks_that_somebody_has_set_are_no_matter(self) -> None:
        assert self._said(replace(A, set_mhz=1095)) == []

    def test_error_correction_of_stacked_memory_is_no_matter(self) -> None:
        assert not any("ECC" in line for line in self._said(A))

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
    OLD = Device("cuda:0", "NVIDIA T4", "nvidia", driver="550.54.14")
    NEW = Device("cuda:0", "NVIDIA H100", "nvidia", driver="580.65.06")

    @pytest.mark.parametrize(("card", "index"), [(OLD, "cu126"), (NEW, "cu130")])
    def test_a_torch_without_cuda_beside_a_card_is_said_with_the_command(
        self, card: Device, index: str
    ) -> None:
        lines = software_warnings([card], {"torch": "2.13.0+cpu", "cupy-cuda12x": "14.2.0"})
        assert lines == [
            (
                f"torch 2.13.0+cpu was built without CUDA, beside cuda:0 ({card.model}): pip install --force-reinstall "
                f"torch --index-url https://download.pytorch.org/whl/{index}"
            )
        ]

    def test_a_torch_that_came_without_cudnn_may_be_without_cuda(self) -> None:
        assert software_warnings([self.NEW], {"torch": "2.13.0", "cupy": "14.2.0"}) == [
            (
                "torch 2.13.0 has no cuDNN beside it and may be built without CUDA, beside cuda:0 (NVIDIA H100): "
                "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"
            )
        ]

    @pytest.mark.parametrize(
        "torch",
        [
            {"torch": "2.13.0", "nvidia-cudnn-cu13": "9.12"},
            {"torch": "2.13.0+cu130"},
            {"torch": "2.13.0a0+nv25.10"},
            {},
        ],
    )
    def test_another_torch_is_no_matter(self, torch: dict[str, str]) -> None:
        assert software_warnings([self.NEW], torch | {"cupy-cuda13x": "14.2.0"}) == []

    @pytest.mark.parametrize(("card", "cupy"), [(OLD, "cupy-cuda12x"), (NEW, "cupy-cuda13x")])
    def test_a_missing_cupy_is_said_with_the_command(self, card: Device, cupy: str) -> None:
        assert software_warnings([card], {}) == [
            f'cupy is not installed, beside cuda:0 ({card.model}): pip install "{cupy}[ctk]"'
        ]

    @pytest.mark.parametrize(
        ("driver", "software", "line"),
        [
            (
                "550.54.14",
                {"cupy-cuda13x": "14.2.0"},
                (
                    "driver 550.54.14 is too old for cupy-cuda13x, which needs 580 or newer: update it, "
                    "or take one built for CUDA 12"
                ),
            ),
            (
                "550.54.14",
                {"cupy-cuda12x": "14.2.0", "torch": "2.13.0+cu130"},
                (
                    "driver 550.54.14 is too old for torch 2.13.0+cu130, which needs 580 or newer: update it, "
                    "or take one built for CUDA 12"
                ),
            ),
            (
                "570.10",
                {"cupy-cuda12x": "14.2.0", "torch": "2.13.0", "nvidia-cudnn-cu13": "9.12"},
                (
                    "driver 570.10 is too old for torch 2.13.0, which needs 580 or newer: update it, "
                    "or take one built for CUDA 12"
                ),
            ),
            (
                "525.60.11",
                {"cupy-cuda12x": "14.2.0"},
                ("driver 525.60.11 is too old for cupy-cuda12x, which needs 525.60.13 or newer: update it"),
            ),
        ],
    )
    def test_a_driver_older_than_the_wheels_cuda_is_said(
        self, driver: str, software: dict[str, str], line: str
    ) -> None:
        assert software_warnings([replace(self.NEW, driver=driver)], software) == [line]

    @pytest.mark.parametrize("driver", ["525.60.13", "580.65.06", "", "unknown"])
    def test_a_driver_that_is_new_enough_or_tells_no_version_is_no_matter(self, driver: str) -> None:
        assert software_warnings([replace(self.NEW, driver=driver)], {"cupy-cuda12x": "14.2.0"}) == []

    def test_without_a_card_nothing_is_missing(self) -> None:
        assert software_warnings([], {"torch": "2.13.0+cpu"}) == []
        assert software_warnings([], {}, "the versions differ") == ["the versions differ"]

    def test_a_driver_and_library_that_do_not_match_are_a_warning(self) -> None:
        why = nvml.start(FakeNvml(init_error=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
        assert software_warnings([], {}, why or "") == [
            "NVIDIA's driver/library version mismatch: reboot, or reload the driver's kernel modules"
        ]
