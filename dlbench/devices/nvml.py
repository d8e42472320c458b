"""NVIDIA boards as the driver's management library (NVML) shows them. Everything is read, nothing is ever set.

A board answers what its maker, the driver and the user's rights allow; what it does not answer is None. One that has
fallen off the bus, or whose driver was unloaded, answers nothing from then on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import pynvml

Library = Any
"""The module `pynvml`, or a stand-in for it."""

_GONE = (
    "NVML_ERROR_GPU_IS_LOST",
    "NVML_ERROR_UNINITIALIZED",
    "NVML_ERROR_LIBRARY_NOT_FOUND",
    "NVML_ERROR_DRIVER_NOT_LOADED",
    "NVML_ERROR_RESET_REQUIRED",
)
_REASONS: tuple[tuple[str, str], ...] = (
    ("HwSlowdown", "HW slowdown"),
    ("HwThermalSlowdown", "HW thermal slowdown"),
    ("HwPowerBrakeSlowdown", "HW power brake slowdown"),
    ("SwThermalSlowdown", "SW thermal slowdown"),
    ("SwPowerCap", "SW power cap"),
    ("SyncBoost", "sync boost"),
    ("ApplicationsClocksSetting", "applications clocks setting"),
    ("DisplayClockSetting", "display clock setting"),
    ("GpuIdle", "idle"),
)
"""NVML's bits (nvml.h, nvmlClocksEventReasons) and what nvidia-smi calls them."""
_COMPUTE_MODES = ("default", "exclusive thread", "prohibited", "exclusive process")
"""By NVML's number (nvml.h, nvmlComputeMode_t)."""
_PCI = re.compile(r"(?:([0-9a-f]+):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.[0-9a-f])?", re.IGNORECASE)
_LAST = (2**32, 0, 0)
"""After every PCI address: where a board that tells none is put."""


@dataclass(frozen=True, slots=True)
class OtherProcess:
    """A process other than ours that uses a board; `memory` in bytes, None where the driver does not tell."""

    pid: int
    name: str
    memory: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a board shows at one moment. Clocks in Hz, power in watts, memory in bytes."""

    sm_clock_hz: float | None = None
    default_sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    reasons: tuple[str, ...] = ()
    memory_used: int | None = None
    memory_total: int | None = None
    utilisation: float | None = None


@dataclass
class Board:
    """One board, or one slice of a board that is divided by MIG; `parent` is the whole board's handle then."""

    library: Library
    handle: Any
    name: str = ""
    uuid: str = ""
    parent: Any = None
    gone: bool = False
    _default_clock: list[float | None] = field(default_factory=list)

    @property
    def sliced(self) -> bool:
        """Whether this is a slice by MIG."""
        return self.parent is not None

    @property
    def divided(self) -> bool:
        """Whether MIG divides the board, or the one that this is a slice of: nothing computes on the whole of it then."""
        return _switch(self._ask("nvmlDeviceGetMigMode", whole=True)) == "on"

    def read(self) -> Reading | None:
        """Return what the board shows now; None where it is gone.

        It is read around each turn, so the other processes, whose names take longer, are read by `others`.
        """
        if self.gone:
            return None
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        load = self._ask("nvmlDeviceGetUtilizationRates", whole=True)
        reading = Reading(
            sm_clock_hz=self._mega("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
            default_sm_clock_hz=self._default(),
            memory_clock_hz=self._mega("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
            temperature_c=_number(self._temperature()),
            power_w=self._watts("nvmlDeviceGetPowerUsage"),
            power_limit_w=self._watts("nvmlDeviceGetEnforcedPowerLimit"),
            reasons=self._reasons(),
            memory_used=None if memory is None else int(memory.used),
            memory_total=None if memory is None else int(memory.total),
            utilisation=None if load is None else load.gpu / 100,
        )
        return reading if self._answers() else None

    def energy_j(self) -> float | None:
        """Return the joules since the driver was loaded (Volta and newer), None where nobody counts them.

        The counter is the whole board's: where MIG divides it, nobody counts a slice's, and the neighbours' are not ours.
        """
        if self.divided:
            return None
        return _number(self._ask("nvmlDeviceGetTotalEnergyConsumption", whole=True), 1e-3)

    def others(self) -> tuple[OtherProcess, ...]:
        """Return the processes besides this one that compute or draw on the board."""
        found: dict[int, OtherProcess] = {}
        for question in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
            for process in self._ask(question) or ():
                memory = getattr(process, "usedGpuMemory", None)
                found[process.pid] = OtherProcess(process.pid, _name_of(process.pid), memory)
        ours = psutil.Process().pid
        return tuple(process for pid, process in sorted(found.items()) if pid != ours)

    def settings(self) -> dict[str, Any]:
        """Return what was set on the board and changes its speed, by name; what it does not tell is left out."""
        ecc = self._ask("nvmlDeviceGetEccMode", whole=True)
        mig = self._ask("nvmlDeviceGetMigMode", whole=True)
        limits = self._ask("nvmlDeviceGetPowerManagementLimitConstraints", whole=True)
        told = {
            "cuda driver": _version(_answer(self.library, "nvmlSystemGetCudaDriverVersion_v2")[0]),
            "vbios": self._ask("nvmlDeviceGetVbiosVersion", whole=True),
            "power limit w": self._watts("nvmlDeviceGetPowerManagementLimit"),
            "default power limit w": self._watts("nvmlDeviceGetPowerManagementDefaultLimit"),
            "highest power limit w": None if limits is None else limits[1] / 1000,
            "ecc": _switch(ecc),
            "ecc after reset": _switch(ecc, after=True),
            "mig": _switch(mig),
            "mig after reset": _switch(mig, after=True),
            "slice": self.name if self.sliced else None,
            "persistence mode": _switch(self._ask("nvmlDeviceGetPersistenceMode", whole=True)),
            "compute mode": _name(_COMPUTE_MODES, self._ask("nvmlDeviceGetComputeMode", whole=True)),
            "memory bus bits": self._ask("nvmlDeviceGetMemoryBusWidth", whole=True),
            "auto boost": _switch(self._ask("nvmlDeviceGetAutoBoostedClocksEnabled", whole=True)),
            "sm clock default mhz": _scaled(
                self._mega("nvmlDeviceGetDefaultApplicationsClock", "NVML_CLOCK_SM"), 1e-6
            ),
            "sm clock set mhz": _scaled(self._mega("nvmlDeviceGetApplicationsClock", "NVML_CLOCK_SM"), 1e-6),
            "sm clock boost mhz": _scaled(
                self._mega("nvmlDeviceGetMaxCustomerBoostClock", "NVML_CLOCK_SM"), 1e-6
            ),
            "sm clock highest mhz": _scaled(self._mega("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_SM"), 1e-6),
            "pcie generation": self._ask("nvmlDeviceGetCurrPcieLinkGeneration", whole=True),
            "pcie highest generation": self._ask("nvmlDeviceGetMaxPcieLinkGeneration", whole=True),
            "pcie lanes": self._ask("nvmlDeviceGetCurrPcieLinkWidth", whole=True),
            "pcie highest lanes": self._ask("nvmlDeviceGetMaxPcieLinkWidth", whole=True),
        }
        return {name: _text(value) for name, value in told.items() if value is not None}

    def _answers(self) -> bool:
        return not self.gone

    def _reasons(self) -> tuple[str, ...]:
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons", whole=True)
        if bits is None:
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", whole=True)  # older drivers
        return tuple(text for name, text in _REASONS if (bits or 0) & _bit(self.library, name))

    def _temperature(self) -> Any:
        """Ask the question that all drivers know, then the one that CUDA 14 leaves (NVML's deprecation notices)."""
        told = self._ask("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU", whole=True)
        if told is None:
            told = self._ask("nvmlDeviceGetTemperatureV", "NVML_TEMPERATURE_GPU", whole=True)
        return told

    def _default(self) -> float | None:
        """Return the SM clock that applications get by default; where the driver does not tell it, the highest.

        NVML promises it for "fully supported" boards only, and from CUDA 14 on for none (its deprecation notices). The
        highest is a ceiling and not a promise, so a board at its power limit may be far below it. Asked once: it stays.
        """
        if not self._default_clock:
            clock = self._mega("nvmlDeviceGetDefaultApplicationsClock", "NVML_CLOCK_SM")
            if clock is None:
                clock = self._mega("nvmlDeviceGetMaxClockInfo", "NVML_CLOCK_SM")
            self._default_clock.append(clock)
        return self._default_clock[0]

    def _watts(self, question: str) -> float | None:
        return _number(self._ask(question, whole=True), 1e-3)

    def _mega(self, question: str, kind: str) -> float | None:
        return _number(self._ask(question, kind, whole=True), 1e6)

    def _ask(self, question: str, constant: str = "", *, whole: bool = False) -> Any:
        """Return NVML's answer, None where there is none; `whole` asks the board that a slice is part of."""
        if self.gone:
            return None
        handle = self.parent if whole and self.parent is not None else self.handle
        arguments = [handle, *([getattr(self.library, constant, None)] if constant else [])]
        answer, code = _answer(self.library, question, *arguments)
        self.gone = code in {getattr(self.library, name, None) for name in _GONE} - {None}
        return answer


def start(library: Library = pynvml) -> str | None:
    """Start the library; return why it cannot be, in NVML's words, the empty string where there is no driver, else None."""
    _, code = _answer(library, "nvmlInit")
    if code is None:
        return None
    absent = {library.NVML_ERROR_LIBRARY_NOT_FOUND, library.NVML_ERROR_DRIVER_NOT_LOADED}
    if code in absent:
        return ""
    if code == library.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return "NVIDIA's driver/library version mismatch: reboot, or reload the driver's kernel modules"
    return f"NVIDIA's management library does not start: {library.NVMLError(code)}"


def boards(library: Library = pynvml) -> tuple[Board, ...]:
    """Return every board in the order of the PCI addresses, which NVML does not promise; none where there is no driver."""
    if start(library) is not None:
        return ()
    return tuple(sorted(_boards(library), key=lambda board: _address(_pci_of(board)) or _LAST))


def find(uuid: str, pci: str, library: Library = pynvml) -> Board | None:
    """Return the board that a framework knows by a UUID (`GPU-…`, or `MIG-…` for a slice) or a PCI address, else None.

    Never by number: CUDA and NVML may count in different orders. The beginning of the UUID is not compared, because a
    framework that has 16 bytes cannot know whether they name a board or a slice.
    """
    there = boards(library)
    if wanted := _bare(uuid):
        for board in there:
            for one in (board, *slices(board)):
                if _bare(one.uuid) == wanted:
                    return one
    address = _address(pci)
    if address is None:
        return None
    return next((board for board in there if _address(_pci_of(board)) == address), None)


def slices(board: Board) -> Iterator[Board]:
    """Yield the slices that MIG has made of a board."""
    library = board.library
    count, _ = _answer(library, "nvmlDeviceGetMaxMigDeviceCount", board.handle)
    for index in range(count or 0):
        handle, code = _answer(library, "nvmlDeviceGetMigDeviceHandleByIndex", board.handle, index)
        if code is None and handle is not None:
            yield Board(
                library, handle, _told(library, "Name", handle), _told(library, "UUID", handle), board.handle
            )


def _boards(library: Library) -> Iterator[Board]:
    count, _ = _answer(library, "nvmlDeviceGetCount")
    for index in range(count or 0):
        handle, code = _answer(library, "nvmlDeviceGetHandleByIndex", index)
        if code is None:
            yield Board(library, handle, _told(library, "Name", handle), _told(library, "UUID", handle))


def _told(library: Library, what: str, handle: Any) -> str:
    answer, _ = _answer(library, f"nvmlDeviceGet{what}", handle)
    return str(_text(answer)) if answer is not None else ""


def _pci_of(board: Board) -> str:
    answer, _ = _answer(board.library, "nvmlDeviceGetPciInfo", board.handle)
    return "" if answer is None else str(_text(answer.busId))


def _answer(library: Library, question: str, *arguments: Any) -> tuple[Any, int | None]:
    """Return the answer and None, or None and the error's number; an older library may not know the question."""
    try:
        return getattr(library, question)(*arguments), None
    except library.NVMLError as error:
        return None, int(error.value)
    except AttributeError:
        return None, int(library.NVML_ERROR_FUNCTION_NOT_FOUND)


def _bit(library: Library, reason: str) -> int:
    names = (f"nvmlClocksEventReason{reason}", f"nvmlClocksThrottleReason{reason}")
    return next((int(getattr(library, name)) for name in names if hasattr(library, name)), 0)


def _address(pci: str) -> tuple[int, int, int] | None:
    """Return domain, bus and device of a PCI address, however wide the domain is written."""
    found = _PCI.fullmatch(pci.strip())
    return None if found is None else (int(found[1] or "0", 16), int(found[2], 16), int(found[3], 16))


def _bare(uuid: str) -> str:
    """Return the UUID without what says that it is a board's or a slice's."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _name_of(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def _switch(value: Any, *, after: bool = False) -> str | None:
    """Return on or off; of a pair that NVML gives, the first is now, and the second after the next reset."""
    if value is None:
        return None
    pair = value if isinstance(value, list | tuple) else (value, value)
    return "on" if pair[1 if after else 0] else "off"


def _name(names: Sequence[str], number: int | None) -> str | None:
    return None if number is None else dict(enumerate(names)).get(number, str(number))


def _version(number: int | None) -> str | None:
    """Return 13.0 of 13000, as CUDA writes its versions."""
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"


def _number(value: Any, factor: float = 1.0) -> float | None:
    return None if value is None else float(value) * factor


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
