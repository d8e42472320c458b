"""NVIDIA GPUs as CUDA will number them, found without CUDA: a framework need not be there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import pynvml

from dlbench.devices import nvml
from dlbench.devices.device import Device
from dlbench.devices.nvml import Board, Library

VISIBLE = "CUDA_VISIBLE_DEVICES"
_NUMBER = re.compile(r"[+]?[0-9]+")
"""A number as CUDA reads one: what stands behind its digits is ignored."""


def gpus(library: Library = pynvml, environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the GPUs that CUDA will show, none where there is no driver.

    With CUDA_DEVICE_ORDER=PCI_BUS_ID, as dlbench's workers have it, CUDA counts by PCI address; CUDA_VISIBLE_DEVICES chooses.
    """
    found = visible(nvml.boards(library), environ.get(VISIBLE))
    driver = _driver(library) if found else ""
    return tuple(_gpu(number, board, driver) for number, board in enumerate(found))


def visible(boards: Sequence[Board], chosen: str | None) -> list[Board]:
    """Return the boards that CUDA_VISIBLE_DEVICES leaves, in its order; all where it is not set.

    A list of numbers, of beginnings of UUIDs, or of slices (`MIG-…`). The first entry that is none ends the list (CUDA C++
    Programming Guide, CUDA Environment Variables), and so does one of another kind than the first; a board that is named
    twice leaves none, as torch reads it. A slice ends it as well: CUDA shows one at most (NVIDIA MIG User Guide).
    """
    if chosen is None:
        return _unchosen(boards)
    words = [word.strip() for word in chosen.split(",")]
    found: list[Board] = []
    for word in words:
        board = _named(boards, word) if _kind(word) == _kind(words[0]) else None
        if board is None:
            break
        if any(board.uuid == other.uuid for other in found):
            return []
        found.append(board)
        if board.sliced:
            break
    return found


def _kind(word: str) -> str:
    return next((kind for kind in ("GPU-", "MIG-") if word.startswith(kind)), "number")


def _named(boards: Sequence[Board], word: str) -> Board | None:
    kind = _kind(word)
    if kind == "MIG-":
        return next((one for board in boards for one in nvml.slices(board) if one.uuid == word), None)
    if kind == "GPU-":
        matching = [board for board in boards if board.uuid.startswith(word)]
        return _shown(matching[0]) if len(matching) == 1 else None
    number = _NUMBER.match(word)
    if number is None or int(number[0]) >= len(boards):
        return None
    return _shown(boards[int(number[0])])


def _shown(board: Board) -> Board | None:
    """Return what CUDA shows of a board: the first of its slices where MIG divides it, None where there is no slice."""
    return next(iter(nvml.slices(board)), None) if board.divided else board


def _unchosen(boards: Sequence[Board]) -> list[Board]:
    """Return the boards; where MIG divides the first, one of its slices and nothing else, where it divides another, not that.

    Which of them CUDA shows where some are divided and some are not, NVIDIA does not say: CUDA_VISIBLE_DEVICES decides it.
    """
    if boards and boards[0].divided:
        first = _shown(boards[0])
        return [] if first is None else [first]
    return [board for board in boards if not board.divided]


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
