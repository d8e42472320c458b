"""Intel's discrete GPUs from a made-up sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlbench.devices import intel
from dlbench.devices.device import Device


def board(root: Path, minor: int, address: str, number: str, driver: str, vendor: str = intel.VENDOR) -> Path:
    """Return the folder of a PCI device with a render node."""
    place = root / "sys/devices" / address
    place.mkdir(parents=True)
    (place / "vendor").write_text(f"{vendor}\n")
    (place / "device").write_text(f"{number}\n")
    module = root / "sys/bus/pci/drivers" / driver
    module.mkdir(parents=True, exist_ok=True)
    (place / "driver").symlink_to(module)
    node = root / intel.RENDER / f"renderD{minor}"
    node.mkdir(parents=True)
    (node / "device").symlink_to(place)
    return place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    board(tmp_path, 128, "0000:00:02.0", "0x46a0", "i915")  # inside the processor
    board(tmp_path, 129, "0000:01:00.0", "0x2204", "nvidia", vendor="0x10de")
    older = board(tmp_path, 130, "0000:03:00.0", "0x56a0", "i915")
    (older / "drm/card1").mkdir(parents=True)
    (older / "drm/card1/lmem_total_bytes").write_text(f"{16 * 2**30}\n")
    newer = board(tmp_path, 131, "0000:05:00.0", "0x0bd5", "xe")
    for tile in range(2):
        (newer / f"tile{tile}").mkdir()
        (newer / f"tile{tile}/physical_vram_size_bytes").write_text(f"{64 * 2**30}\n")
    return tmp_path


def test_the_boards_that_either_driver_holds_in_the_order_of_their_nodes(root: Path) -> None:
    assert intel.gpus(root, {}) == (
        Device("xpu:0", "Intel GPU 56a0", "intel", 16 * 2**30, driver="i915"),
        Device("xpu:1", "Intel GPU 0bd5", "intel", 128 * 2**30, driver="xe"),
    )


@pytest.mark.parametrize(
    ("mask", "models"),
    [
        ("", ["56a0", "0bd5"]),
        ("1", ["0bd5"]),
        ("1,0", ["56a0", "0bd5"]),
        ("1.0,1.1", ["0bd5"]),
        ("7", []),
    ],
)
def test_level_zeros_mask_hides_the_others(root: Path, mask: str, models: list[str]) -> None:
    found = intel.gpus(root, {"ZE_AFFINITY_MASK": mask})
    assert [gpu.model for gpu in found] == [f"Intel GPU {model}" for model in models]
    assert [gpu.name for gpu in found] == [f"xpu:{number}" for number in range(len(models))]


def test_a_board_that_a_virtual_machine_puts_where_integrated_ones_are_is_known_by_its_memory(
    tmp_path: Path,
) -> None:
    place = board(tmp_path, 128, "0000:00:02.0", "0xe20b", "xe")
    assert intel.gpus(tmp_path, {}) == ()
    (place / "tile0").mkdir()
    (place / "tile0/physical_vram_size_bytes").write_text(f"{12 * 2**30}\n")
    assert intel.gpus(tmp_path, {}) == (Device("xpu:0", "Intel GPU e20b", "intel", 12 * 2**30, driver="xe"),)


def test_a_board_that_no_graphics_driver_holds_is_none(tmp_path: Path) -> None:
    board(tmp_path, 128, "0000:03:00.0", "0x56a0", "vfio-pci")
    assert intel.gpus(tmp_path, {}) == ()


def test_without_a_driver_there_are_none(tmp_path: Path) -> None:
    assert intel.gpus(tmp_path, {}) == ()
