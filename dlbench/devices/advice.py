"""What a careful person would put right on an accelerator before measuring on it, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlbench.devices.device import Device
from dlbench.devices.nvml import Board, OtherProcess, Reading
from dlbench.units import format_bytes

HOT = 80.0
"""°C at which a board that has just begun is likely to slow down: makers begin to throttle between 83 and 95 °C."""
GDDR_BITS = 512
"""The widest memory bus of a board with GDDR memory; one stack of HBM alone has 1024 bits (JEDEC JESD235)."""
OLDEST_DRIVERS = {"13": "580", "12": "525.60.13"}
"""The oldest Linux drivers for CUDA 13 and 12 (CUDA Toolkit Release Notes, minor version compatibility)."""
TORCH = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/"
INDEXES = {"13": "cu130", "12": "cu126"}
"""Indexes of torch's wheels by CUDA (pytorch.org, "Installing previous versions")."""
CUDNN = ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12")
"""One of them comes with torch's wheels for CUDA."""


def board_warnings(boards: Mapping[str, Board]) -> list[str]:
    """Return what is set or going on on the boards, by device, that spoils a measurement or its comparison."""
    return [f"{name}: {line}" for name, board in boards.items() for line in _advice(board)]


def _advice(board: Board) -> list[str]:
    told, reading = board.settings(), board.read()
    others = [_process(process) for process in board.others()]
    return [*_settings(told), *_now(reading), *_clocks(told, reading), *others]


def _settings(told: Mapping[str, object]) -> list[str]:
    lines = []
    if told.get("mig") == "on":
        lines.append(
            "MIG is on: a slice of the board is measured, and its neighbours share its clock and power limit"
        )
    bits = told.get("memory bus bits")
    if told.get("ecc") == "off":
        lines.append("ECC is off: boards with ECC on have less bandwidth; compare like with like")
    elif told.get("ecc") == "on" and isinstance(bits, int) and bits <= GDDR_BITS:
        lines.append("ECC is on: with GDDR memory it costs bandwidth; compare with boards that have it on")
    for name in ("ecc", "mig"):
        later = told.get(f"{name} after reset")
        if later is not None and later != told.get(name):
            lines.append(
                f"{name.upper()} will be {later} after the next reset: runs after it are not comparable"
            )
    if told.get("compute mode", "default") != "default":
        lines.append(
            f"compute mode is {told['compute mode']}: dlbench has a worker for each backend; `sudo nvidia-smi -c 0` lets "
            "them share the board"
        )
    if told.get("persistence mode") == "off":
        lines.append(
            "persistence mode is off: the driver starts anew for each process; `sudo nvidia-smi -pm 1` keeps it up"
        )
    limit, default = told.get("power limit w"), told.get("default power limit w")
    if isinstance(limit, float) and isinstance(default, float) and limit < default:
        lines.append(
            f"the power limit is {limit:.0f} W, its default {default:.0f} W: the board will be slower than others"
        )
    lanes, most = told.get("pcie lanes"), told.get("pcie highest lanes")
    if isinstance(lanes, int) and isinstance(most, int) and lanes < most:
        lines.append(
            f"PCIe has {lanes} of {most} lanes: transfers are slower than the board allows; look at its slot"
        )
    return lines


def _now(reading: Reading | None) -> list[str]:
    if reading is None:
        return ["the driver does not answer for this board any more"]
    lines = []
    if reading.temperature_c is not None and reading.temperature_c >= HOT:
        lines.append(
            f"{reading.temperature_c:.0f} °C before the measurement: let it cool, or it will slow down"
        )
    slowed = [reason for reason in reading.reasons if reason.startswith(("HW", "SW thermal"))]
    if slowed:
        lines.append(
            f"slowed down now ({', '.join(slowed)}): rows may be `throttled`; look at its cooling and power supply"
        )
    return lines


def _clocks(told: Mapping[str, object], reading: Reading | None) -> list[str]:
    """Return advice on clocks that nobody has set. NVML has no question for locked ones: where it lets a lock be seen,
    it is as a reason why the clock is not higher.
    """
    if told.get("auto boost") == "on":
        return ["auto boost is on: clocks follow heat; `sudo nvidia-smi --auto-boost-default=0` turns it off"]
    limited = reading is not None and "applications clocks setting" in reading.reasons
    clock, default = told.get("sm clock set mhz"), told.get("sm clock default mhz")
    if limited or (clock is not None and default is not None and clock != default):
        return []
    advice = "`sudo nvidia-smi -lgc CLOCK` locks them (dlbench never does)"
    return [f"clocks follow heat and load unless you have locked them, which NVML does not tell: {advice}"]


def _process(process: OtherProcess) -> str:
    held = "" if process.memory is None else f" holds {format_bytes(process.memory)} and"
    name = f" ({process.name})" if process.name else ""
    return f"process {process.pid}{name}{held} shares the board: end it before measuring"


def software_warnings(
    found: Sequence[Device], software: Mapping[str, str], why_no_nvml: str = ""
) -> list[str]:
    """Return what the installed software keeps from the accelerators that are there."""
    lines = [why_no_nvml] if why_no_nvml else []
    nvidia = [device for device in found if device.vendor == "nvidia"]
    if not nvidia:
        return lines
    names = ", ".join(f"{device.name} ({device.model})" for device in nvidia)
    driver = nvidia[0].driver
    wheels = next((cuda for cuda in OLDEST_DRIVERS if not _too_old(driver, cuda)), "12")
    torch = software.get("torch", "")
    if torch.endswith("+cpu"):
        lines.append(f"torch {torch} was built without CUDA, beside {names}: {TORCH}{INDEXES[wheels]}")
    elif torch and "+" not in torch and not any(name in software for name in CUDNN):
        lines.append(
            f"torch {torch} has no cuDNN beside it and may be built without CUDA, beside {names}: "
            f"{TORCH}{INDEXES[wheels]}"
        )
    if not any(name.startswith("cupy") for name in software):
        lines.append(f'cupy is not installed, beside {names}: pip install "cupy-cuda{wheels}x[ctk]"')
    for what, cuda in _built_for(software):
        if _too_old(driver, cuda):
            other = ", or take one built for CUDA 12" if cuda == "13" else ""
            need = OLDEST_DRIVERS[cuda]
            lines.append(
                f"driver {driver} is too old for {what}, which needs {need} or newer: update it{other}"
            )
    return lines


def _built_for(software: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is built for CUDA, and for which, as far as names and versions tell."""
    torch = software.get("torch", "")
    for cuda in OLDEST_DRIVERS:
        if f"+cu{cuda}" in torch or (torch and "+" not in torch and f"nvidia-cudnn-cu{cuda}" in software):
            yield f"torch {torch}", cuda
        if f"cupy-cuda{cuda}x" in software:
            yield f"cupy-cuda{cuda}x", cuda


def _too_old(driver: str, cuda: str) -> bool:
    """Return whether a driver is older than that CUDA needs; one that tells no version is not."""
    have, need = (
        [int(part) for part in text.split(".") if part.isdecimal()] for text in (driver, OLDEST_DRIVERS[cuda])
    )
    return bool(have) and have < need
