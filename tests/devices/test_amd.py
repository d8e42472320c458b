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
        f"cpu_cores_count 0\nsimd_count {simds}\ndrm_render_minor {minor}\nunique_id {0x770 + number}\n"
        "gfx_target_version 90402\n"
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
        Device("cuda:0", "AMD Instinct MI300X", "amd", 192 * 2**30, uuid="GPU-0000000000000771"),
        Device("cuda:1", "AMD Instinct MI210", "amd", 64 * 2**30, uuid="GPU-0000000000000772"),
        Device("cuda:2", "AMD GPU gfx942", "amd", 0, uuid="GPU-000000000000077a"),
    )


@pytest.mark.parametrize(
    ("environ", "uuids"),
    [
        ({"ROCR_VISIBLE_DEVICES": "2,0"}, ["77a", "771"]),
        ({"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "1"}, ["771"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-0000000000000772, 0"}, ["772", "771"]),
        ({"HIP_VISIBLE_DEVICES": "0,9,1"}, ["771"]),
        ({"HIP_VISIBLE_DEVICES": "1,1,0"}, ["772"]),
        ({"HIP_VISIBLE_DEVICES": ""}, []),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["772"]),
        ({"CUDA_VISIBLE_DEVICES": "1", "HIP_VISIBLE_DEVICES": "0"}, ["771"]),
    ],
)
def test_rocms_variables_choose_one_after_the_other(
    root: Path, environ: dict[str, str], uuids: list[str]
) -> None:
    assert [gpu.uuid.removeprefix("GPU-0000000000000") for gpu in amd.gpus(root, environ)] == uuids
    assert [gpu.name for gpu in amd.gpus(root, environ)] == [f"cuda:{number}" for number in range(len(uuids))]


def test_without_the_driver_there_are_none(tmp_path: Path) -> None:
    assert amd.gpus(tmp_path, {}) == ()


def test_memory_that_is_not_on_the_board_is_not_counted(tmp_path: Path) -> None:
    node(tmp_path, 1, simds=8, minor=128, memory=2**30)
    system = tmp_path / amd.NODES / "1" / "mem_banks" / "1"
    system.mkdir()
    (system / "properties").write_text(f"heap_type 0\nsize_in_bytes {2**34}\n")
    assert amd.gpus(tmp_path, {})[0].memory == 2**30


def test_a_node_that_may_not_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / amd.NODES / "1").mkdir(parents=True)
    node(tmp_path, 2, simds=104, minor=128, product="AMD Instinct MI210")
    assert [gpu.model for gpu in amd.gpus(tmp_path, {})] == ["AMD Instinct MI210"]


def test_the_version_of_a_driver_that_is_not_the_kernels_own_is_told(tmp_path: Path) -> None:
    node(tmp_path, 1, simds=104, minor=128)
    (tmp_path / amd.DRIVER).parent.mkdir(parents=True)
    (tmp_path / amd.DRIVER).write_text("6.12.12\n")
    assert amd.gpus(tmp_path, {})[0].driver == "6.12.12"
