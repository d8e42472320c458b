"""A stand-in for NVML: boards with answers, and every way in which the library refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml


class FakeError(Exception):
    """What the library raises; `value` is NVML's number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


@dataclass
class FakeBoard:
    """A board; an answer that is an int in `errors` is refused with that number."""

    name: str = "NVIDIA A100-SXM4-40GB"
    uuid: str = "GPU-aaaa"
    pci: str = "00000000:3B:00.0"
    sm_mhz: int = 1410
    default_mhz: int | None = 1410
    most_mhz: int = 1410
    temperature: int = 40
    milliwatts: int = 60_000
    reasons: int = 0
    joules: int = 1000
    ecc: tuple[int, int] = (1, 1)
    mig: tuple[int, int] = (0, 0)
    persistence: int = 1
    limit_mw: int = 400_000
    default_limit_mw: int = 400_000
    lanes: int = 16
    bus_bits: int = 5120
    auto_boost: int | None = None
    compute_mode: int = 0
    set_mhz: int | None = None
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    slices: list[FakeBoard] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class FakeNvml:
    """Has the names of `pynvml` that dlbench uses; `gone` makes every board answer that it is lost."""

    NVMLError = FakeError

    def __init__(self, *boards: FakeBoard, init_error: int | None = None) -> None:
        self.boards = list(boards)
        self.init_error = init_error
        self.gone = False
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("NVML_", "nvmlClocks")):
            return getattr(pynvml, name)
        if name.startswith("nvmlDeviceSet"):
            raise AssertionError(f"{name}: nothing is ever set on a board")
        answer = _ANSWERS.get(name)
        if answer is None:
            raise AttributeError(name)

        def question(board: FakeBoard, *arguments: Any) -> Any:
            self.asked.append(name)
            if self.gone:
                raise FakeError(pynvml.NVML_ERROR_GPU_IS_LOST)
            if name in board.errors:
                raise FakeError(board.errors[name])
            return answer(board, *arguments)

        return question

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's name
        if self.init_error is not None:
            raise FakeError(self.init_error)

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802 - NVML's name
        return b"580.65.06"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802 - NVML's name
        return len(self.boards)

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802 - NVML's name
        return 13000

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeBoard:  # noqa: N802 - NVML's name
        board = self.boards[index]
        if error := board.errors.get("nvmlDeviceGetHandleByIndex"):
            raise FakeError(error)
        return board


def _clock(board: FakeBoard, kind: int) -> int:
    return board.sm_mhz if kind == pynvml.NVML_CLOCK_SM else 1215


def _default(board: FakeBoard, kind: int) -> int:
    if board.default_mhz is None:
        raise FakeError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return board.default_mhz


def _auto_boost(board: FakeBoard) -> list[int]:
    if board.auto_boost is None:
        raise FakeError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return [board.auto_boost, 1]


def _slice(board: FakeBoard, index: int) -> FakeBoard:
    if index >= len(board.slices):
        raise FakeError(pynvml.NVML_ERROR_NOT_FOUND)
    return board.slices[index]


_ANSWERS: dict[str, Any] = {
    "nvmlDeviceGetName": lambda board: board.name.encode(),
    "nvmlDeviceGetUUID": lambda board: board.uuid,
    "nvmlDeviceGetPciInfo": lambda board: SimpleNamespace(busId=board.pci),
    "nvmlDeviceGetMemoryInfo": lambda board: SimpleNamespace(used=2**30, total=40 * 2**30),
    "nvmlDeviceGetUtilizationRates": lambda board: SimpleNamespace(gpu=37),
    "nvmlDeviceGetClockInfo": _clock,
    "nvmlDeviceGetDefaultApplicationsClock": _default,
    "nvmlDeviceGetApplicationsClock": lambda board, kind: board.set_mhz or _default(board, kind),
    "nvmlDeviceGetMaxClockInfo": lambda board, kind: board.most_mhz,
    "nvmlDeviceGetTemperature": lambda board, sensor: board.temperature,
    "nvmlDeviceGetTemperatureV": lambda board, sensor: board.temperature,
    "nvmlDeviceGetPowerUsage": lambda board: board.milliwatts,
    "nvmlDeviceGetEnforcedPowerLimit": lambda board: board.limit_mw,
    "nvmlDeviceGetMaxCustomerBoostClock": lambda board, kind: board.most_mhz,
    "nvmlDeviceGetMemoryBusWidth": lambda board: board.bus_bits,
    "nvmlDeviceGetAutoBoostedClocksEnabled": _auto_boost,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda board: board.reasons,
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda board: board.reasons,
    "nvmlDeviceGetTotalEnergyConsumption": lambda board: board.joules * 1000,
    "nvmlDeviceGetComputeRunningProcesses": lambda board: [
        SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in board.processes
    ],
    "nvmlDeviceGetGraphicsRunningProcesses": lambda board: [],
    "nvmlDeviceGetEccMode": lambda board: board.ecc,
    "nvmlDeviceGetMigMode": lambda board: board.mig,
    "nvmlDeviceGetPersistenceMode": lambda board: board.persistence,
    "nvmlDeviceGetComputeMode": lambda board: board.compute_mode,
    "nvmlDeviceGetVbiosVersion": lambda board: "92.00",
    "nvmlDeviceGetPowerManagementLimit": lambda board: board.limit_mw,
    "nvmlDeviceGetPowerManagementDefaultLimit": lambda board: board.default_limit_mw,
    "nvmlDeviceGetPowerManagementLimitConstraints": lambda board: (100_000, 400_000),
    "nvmlDeviceGetCurrPcieLinkGeneration": lambda board: 4,
    "nvmlDeviceGetMaxPcieLinkGeneration": lambda board: 4,
    "nvmlDeviceGetCurrPcieLinkWidth": lambda board: board.lanes,
    "nvmlDeviceGetMaxPcieLinkWidth": lambda board: 16,
    "nvmlDeviceGetMaxMigDeviceCount": lambda board: 7 if board.slices else 0,
    "nvmlDeviceGetMigDeviceHandleByIndex": _slice,
}

QUESTIONS = tuple(_ANSWERS)
"""Everything that a board can be asked."""
