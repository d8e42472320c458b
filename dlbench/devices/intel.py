"""Intel's discrete GPUs as the Linux kernel lists them, found without oneAPI; torch calls them `xpu`.

A GPU inside a processor is left out: whether torch can compute on it depends on its generation and on the installed
oneAPI, and only torch can tell. Where it can, `--device xpu:0` names it all the same. torch may count a board of several
tiles (Data Center GPU Max) as several devices, and may choose another order where there are several boards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlbench.devices.device import Device

RENDER = Path("sys/class/drm")
VENDOR = "0x8086"
"""Intel's number at the PCI-SIG."""
DRIVERS = ("i915", "xe")
INTEGRATED = "0000:00:02.0"
"""The PCI address of the GPU inside an Intel processor."""
VISIBLE = "ZE_AFFINITY_MASK"


def gpus(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the boards that Level Zero will show, none where the kernel lists none."""
    nodes = (root / RENDER).glob("renderD*")
    places = [node / "device" for node in sorted(nodes, key=lambda node: (len(node.name), node.name))]
    found = _unmasked([place for place in places if _discrete(place)], environ.get(VISIBLE, ""))
    return tuple(_gpu(number, place) for number, place in enumerate(found))


def _discrete(place: Path) -> bool:
    if _line(place / "vendor") != VENDOR or (place / "driver").resolve().name not in DRIVERS:
        return False
    return place.resolve().name != INTEGRATED or _memory(place) > 0


def _unmasked(places: Sequence[Path], mask: str) -> list[Path]:
    """Return those that the mask names (`0,2`, or `0.1` for a tile), in their own order; all without a mask."""
    named = {word.strip().partition(".")[0] for word in mask.split(",")}
    return [place for number, place in enumerate(places) if not mask or str(number) in named]


def _gpu(number: int, place: Path) -> Device:
    model = f"Intel GPU {_line(place / 'device').removeprefix('0x')}".strip()
    driver = (place / "driver").resolve().name
    return Device(f"xpu:{number}", model, "intel", _memory(place), driver=driver)


def _memory(place: Path) -> int:
    """Return the bytes of the board's own memory as xe or i915 tells them, 0 where neither does."""
    tiles = [_line(file) for file in place.glob("tile*/physical_vram_size_bytes")]
    told = tiles or [_line(file) for file in place.glob("drm/card*/lmem_total_bytes")]
    return sum(int(size) for size in told if size.isdecimal())


def _line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
