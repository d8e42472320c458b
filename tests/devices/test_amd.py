"""AMD's GPUs from a made-up sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlbench.devices import amd
from dlbench.devices.device import Device


def node(root: Path, number: int, simds: int, minor: int, product: str = "", memory: int = 0) -> None:
    place = root / amd.NODES / str(number)
    bank = place / "mem_banks" / "0"
    bank.mkdir(parents=True)
    (place / "properties").write_text(
        f"cpu_cores_count 0\nsimd_count {simds}\ndrm_render_minor {minor}\nunique_id 77{number}\n"
    )
    (bank / "properties").write_text(f"heap_type 1\nsize_in_bytes {memory}\n")
    if product:
        device = root / amd.RENDER / f"renderD{minor}" / "device"
        device.mkdir(parents=True)
        (device / "product_name").write_text(product + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    node(tmp_path, 0, simds=0, minor=0)  # the processor
    node(tmp_path, 1, simds=304, minor=128, product="AMD Instinct MI300X", memory=192 * 2**30)
    node(tmp_path, 10, simds=96, minor=130)
    node(tmp_path, 2, simds=104, minor=129, product="AMD Instinct MI210", memory=64 * 2**30)
    return tmp_path


def test_the_gpus_of_the_kernels_topology_in_its_order(root: Path) -> None:
    assert amd.gpus(root, {}) == (
        Device("cuda:0", "AMD Instinct MI300X", "amd", 192 * 2**30, uuid="771"),
        Device("cuda:1", "AMD Instinct MI210", "amd", 64 * 2**30, uuid="772"),
        Device("cuda:2", "AMD GPU", "amd", 0, uuid="7710"),
    )


@pytest.mark.parametrize(
    ("environ", "uuids"),
    [
        ({"ROCR_VISIBLE_DEVICES": "2,0"}, ["7710", "771"]),
        ({"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "1"}, ["771"]),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, ["771"]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_rocms_variables_choose_one_after_the_other(
    root: Path, environ: dict[str, str], uuids: list[str]
) -> None:
    assert [gpu.uuid for gpu in amd.gpus(root, environ)] == uuids


def test_without_the_driver_there_are_none(tmp_path: Path) -> None:
    assert amd.gpus(tmp_path, {}) == ()
