"""NVIDIA GPUs as CUDA will number them, found without CUDA: a framework need not be there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pynvml

from dlbench.devices import nvml
from dlbench.devices.device import Device
from dlbench.devices.nvml import Board, Library

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus(library: Library = pynvml, environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the GPUs that CUDA will show, none where there is no driver.

    With CUDA_DEVICE_ORDER=PCI_BUS_ID, as dlbench's workers have it, CUDA counts as NVML does; CUDA_VISIBLE_DEVICES chooses.
    """
    found = visible(nvml.boards(library), environ.get(VISIBLE))
    driver = _driver(library) if found else ""
    return tuple(_gpu(number, board, driver) for number, board in enumerate(found))


def visible(boards: Sequence[Board], chosen: str | None) -> list[Board]:
    """Return the boards that CUDA_VISIBLE_DEVICES leaves, in its order; all where it is not set.

    A list of numbers, of beginnings of UUIDs, or of slices (`MIG-…`). As in CUDA the first entry that is none ends the list
    (CUDA C++ Programming Guide, CUDA Environment Variables), and so does a slice, of which CUDA shows one at most.
    """
    if chosen is None:
        return _whole_or_slice(boards)
    found: list[Board] = []
    for word in (word.strip() for word in chosen.split(",")):
        board = _named(boards, word)
        if board is None or any(board.uuid == other.uuid for other in found):
            break
        found.append(board)
        if board.sliced:
            break
    return found


def _named(boards: Sequence[Board], word: str) -> Board | None:
    if word.isdecimal():
        number = int(word)
        return boards[number] if number < len(boards) else None
    lower = word.lower()
    if lower.startswith("mig-"):
        return next(
            (one for board in boards for one in nvml.slices(board) if one.uuid.lower() == lower), None
        )
    if not lower.startswith("gpu-"):
        return None
    matching = [board for board in boards if board.uuid.lower().startswith(lower)]
    return matching[0] if len(matching) == 1 else None


def _whole_or_slice(boards: Sequence[Board]) -> list[Board]:
    """Return the boards; where the first is divided by MIG, CUDA shows one of its slices and nothing else."""
    if boards and boards[0].settings().get("mig") == "on":
        return list(nvml.slices(boards[0]))[:1]
    return list(boards)


def _driver(library: Library) -> str:
    try:
        version = library.nvmlSystemGetDriverVersion()
    except library.NVMLError:
        return ""
    return version.decode() if isinstance(version, bytes) else str(version)


def _gpu(number: int, board: Board, driver: str) -> Device:
    reading = board.read()
    memory = reading.memory_total if reading is not None else None
    return Device(f"cuda:{number}", board.name, "nvidia", memory or 0, driver=driver, uuid=board.uuid)
