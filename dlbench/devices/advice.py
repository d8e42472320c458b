"""What a careful person would put right on an accelerator before measuring on it, one line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlbench.devices.device import Device
from dlbench.devices.nvml import Board, OtherProcess, Reading
from dlbench.units import format_bytes

HOT = 80.0
"""°C at which a board that has just begun is likely to slow down: makers begin to throttle between 83 and 95 °C."""
OLDEST_DRIVERS = {"13": 580, "12": 525}
"""The oldest Linux drivers for CUDA 13 and 12 (CUDA Toolkit Release Notes, table of CUDA and driver versions)."""
TORCH = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"
CUPY = 'pip install "cupy-cuda13x[ctk]" (cupy-cuda12x for a driver of CUDA 12)'


def board_warnings(boards: Mapping[str, Board]) -> list[str]:
    """Return what is set or going on on the boards, by device, that spoils a measurement or its comparison."""
    return [
        f"{name}: {line}"
        for name, board in boards.items()
        for line in (
            *_settings(board.settings()),
            *_now(board.read()),
            *(_process(process) for process in board.others()),
        )
    ]


def _settings(told: Mapping[str, object]) -> list[str]:
    lines = []
    if told.get("mig") == "on":
        lines.append(
            "MIG is on: a slice of the board is measured, and its neighbours share the memory's bandwidth"
        )
    if told.get("ecc") == "off":
        lines.append("ECC is off: boards with ECC on have less bandwidth; compare like with like")
    if told.get("persistence mode") == "off":
        lines.append(
            "persistence mode is off: the driver starts anew for each process; `sudo nvidia-smi -pm 1` keeps it up"
        )
    limit, default = told.get("power limit w"), told.get("default power limit w")
    if isinstance(limit, float) and isinstance(default, float) and limit < default:
        lines.append(
            f"the power limit is {limit:.0f} W, its default {default:.0f} W: the board will be slower than others"
        )
    clock, highest = told.get("sm clock set mhz"), told.get("sm clock highest mhz")
    if clock is None or clock == highest:
        lines.append(
            "clocks are not locked: they follow heat and load; `sudo nvidia-smi -lgc CLOCK` locks them (dlbench never does)"
        )
    lanes, most = told.get("pcie lanes"), told.get("pcie highest lanes")
    if isinstance(lanes, int) and isinstance(most, int) and lanes < most:
        lines.append(f"PCIe has {lanes} of {most} lanes: transfers are slower than the board allows")
    return lines


def _now(reading: Reading | None) -> list[str]:
    if reading is None:
        return ["the driver does not answer for this board any more"]
    lines = []
    if reading.temperature_c is not None and reading.temperature_c >= HOT:
        lines.append(
            f"{reading.temperature_c:.0f} °C before the measurement: let it cool, or it will slow down"
        )
    slowed = [reason for reason in reading.reasons if reason.startswith("HW")]
    if slowed:
        lines.append(f"slowed down now ({', '.join(slowed)}): rows will be `throttled`")
    return lines


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
    if software.get("torch", "").endswith("+cpu"):
        lines.append(f"torch {software['torch']} was built without CUDA, beside {names}: {TORCH}")
    cupy = next((name for name in ("cupy-cuda13x", "cupy-cuda12x") if name in software), "")
    if not cupy:
        lines.append(f"cupy is not installed, beside {names}: {CUPY}")
    else:
        lines += _old_driver(nvidia[0].driver, cupy)
    return lines


def _old_driver(driver: str, cupy: str) -> list[str]:
    major, wanted = driver.partition(".")[0], cupy.removeprefix("cupy-cuda").removesuffix("x")
    oldest = OLDEST_DRIVERS[wanted]
    if not major.isdecimal() or int(major) >= oldest:
        return []
    return [
        f"driver {driver} is too old for {cupy}, which needs {oldest} or newer: update the driver or take another cupy"
    ]
