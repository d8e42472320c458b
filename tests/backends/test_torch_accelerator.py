"""torch on an accelerator, against stand-ins for what its modules tell; nothing here computes on one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dlbench.backends.backend import Identity
from dlbench.backends.torch.backend import TorchBackend
from dlbench.errors import UnsupportedError
from dlbench.timing.clock import HostClock
from dlbench.timing.event_clock import EventClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

UUID = "8a1d5b4e-0b5c-3c9c-b9a7-3a5e8f1d2c3b"


class Memory:
    """The allocator's books: 1000 bytes free on the device, 500 reserved, 200 of them in tensors."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.held = self.most = 200

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return 1000, 16000

    def memory_reserved(self, device: torch.device) -> int:
        return 500

    def memory_allocated(self, device: torch.device) -> int:
        return self.held

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        self.log.append("reset")
        self.most = self.held

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.most

    def empty_cache(self) -> None:
        self.log.append("empty")


Give = Callable[..., TorchBackend]


@pytest.fixture
def backend_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[Give]:
    """A backend on a device whose module is what the test gives; the tensors of this build stay on the processor."""
    threads = torch.get_num_threads()

    def give(device: str, module: Any = None, **names: Any) -> TorchBackend:
        module = SimpleNamespace() if module is None else module
        for name, value in names.items():
            setattr(module, name, value)
        monkeypatch.setattr(TorchBackend, "devices", classmethod(lambda cls: ("cpu", device)))
        monkeypatch.setattr(TorchBackend, "_start", lambda self: None)
        monkeypatch.setattr(torch, "get_device_module", lambda asked: module)
        monkeypatch.setattr(torch.accelerator, "synchronize", lambda asked: None)
        monkeypatch.setattr(torch.version, "cuda", "13.0" if device.startswith("cuda") else None)
        monkeypatch.setattr(torch.version, "hip", None)
        return TorchBackend(device, 1)

    yield give
    torch.set_num_threads(threads)


def test_an_accelerators_clock_is_its_own_events(backend_on: Give) -> None:
    assert isinstance(backend_on("cuda:0").clock(), EventClock)
    assert isinstance(backend_on("mps:0").clock(), EventClock)
    assert isinstance(TorchBackend("cpu", 1).clock(), HostClock)


def test_a_card_is_known_by_its_uuid_and_address(backend_on: Give) -> None:
    properties = SimpleNamespace(uuid=UUID, pci_domain_id=0, pci_bus_id=0x65, pci_device_id=0)
    backend = backend_on("cuda:0", get_device_properties=lambda device: properties)
    assert backend.identity() == Identity(f"GPU-{UUID}", "0000:65:00.0")


def test_an_older_torch_tells_no_address(backend_on: Give) -> None:
    backend = backend_on("cuda:0", get_device_properties=lambda device: SimpleNamespace(uuid=UUID))
    assert backend.identity() == Identity(f"GPU-{UUID}", "")


def test_an_amd_gpus_uuid_is_not_nvidias(backend_on: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(uuid=UUID, pci_domain_id=0, pci_bus_id=0xC1, pci_device_id=0)
    backend = backend_on("cuda:0", get_device_properties=lambda device: properties)
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert backend.identity() == Identity("", "0000:C1:00.0")


def test_other_accelerators_are_known_by_nothing_and_a_processor_is_none(backend_on: Give) -> None:
    assert backend_on("xpu:0").identity() == Identity()
    assert TorchBackend("cpu", 1).identity() is None


def test_what_the_allocator_keeps_free_is_free(backend_on: Give) -> None:
    assert backend_on("cuda:0", Memory()).free_memory() == 1000 + 500 - 200
    assert (
        backend_on(
            "mps:0", recommended_max_memory=lambda: 900, current_allocated_memory=lambda: 150
        ).free_memory()
        == 750
    )
    assert backend_on("xpu:0").free_memory() is None
    assert TorchBackend("cpu", 1).free_memory() is None


def test_the_peak_is_what_came_on_top_of_what_was_held(backend_on: Give) -> None:
    memory = Memory()
    memory.most = 10_000  # of earlier cases

    def work() -> None:
        memory.log.append("work")
        memory.most = memory.held + 4096

    assert backend_on("cuda:0", memory).peak_of(work) == 4096
    assert memory.log == ["reset", "work"]


@pytest.mark.parametrize("device", ["mps:0", "cpu"])
def test_where_no_peak_is_kept_the_work_is_done_all_the_same(backend_on: Give, device: str) -> None:
    done: list[str] = []
    backend = backend_on(device) if device != "cpu" else TorchBackend(device, 1)
    assert backend.peak_of(lambda: done.append("work")) is None
    assert done == ["work"]


def test_free_blocks_are_given_back(backend_on: Give) -> None:
    memory = Memory()
    backend_on("cuda:0", memory).release()
    assert memory.log == ["empty"]
    TorchBackend("cpu", 1).release()
    assert memory.log == ["empty"]


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False), ((12, 0), False)])
def test_tf32_needs_ampere(backend_on: Give, capability: tuple[int, int], refused: bool) -> None:
    backend = backend_on(
        "cuda:0", get_device_capability=lambda device: capability, get_device_name=lambda device: "Tesla T4"
    )
    if refused:
        with pytest.raises(UnsupportedError) as raised, backend.activate("library", dtype="tf32"):
            pass
        assert str(raised.value) == (
            "no tf32 on Tesla T4 (compute capability 7.5): it is a format of NVIDIA's tensor cores (Ampere and newer)"
        )
        return
    with backend.activate("library", dtype="tf32"):
        assert torch.backends.cuda.matmul.allow_tf32 is True


def test_no_other_vendors_card_has_tf32(backend_on: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = backend_on("cuda:0", get_device_capability=lambda device: (9, 4))
    monkeypatch.setattr(torch.version, "hip", "7.0")
    with (
        pytest.raises(UnsupportedError, match="^no tf32 on cuda:0: "),
        backend.activate("library", dtype="tf32"),
    ):
        pass
    with (
        pytest.raises(UnsupportedError, match="^no tf32 on mps:0: "),
        backend_on("mps:0").activate("library", dtype="tf32"),
    ):
        pass


@pytest.mark.parametrize("device", ["mps:0", "xpu:0"])
def test_a_device_without_float64_refuses_it_for_a_tensor_and_for_a_case(
    backend_on: Give, device: str
) -> None:
    properties = SimpleNamespace(has_fp64=False)
    backend = backend_on(device, get_device_properties=lambda device: properties)
    with pytest.raises(UnsupportedError, match=f"^no float64 on {device}: "):
        backend.tensor(np.ones(2), "float64")
    with (
        pytest.raises(UnsupportedError, match=f"^no float64 on {device}: "),
        backend.activate("library", dtype="float64"),
    ):
        pass


@pytest.mark.parametrize(("device", "refused"), [("mps:0", True), ("xpu:0", True), ("cuda:0", False)])
def test_native_is_refused_where_there_is_nothing_but_the_library(
    backend_on: Give, device: str, refused: bool
) -> None:
    backend = backend_on(device)
    if not refused:
        with backend.activate("native"):
            assert not torch.backends.cudnn.enabled
        return
    with pytest.raises(UnsupportedError) as raised, backend.activate("native"):
        pass
    assert str(raised.value) == f"no `native` on {device}: torch cannot do without the vendor's library there"


class Starting:
    """A module of a card whose first kernel fails, or does not."""

    def __init__(self) -> None:
        self.current: list[torch.device] = []

    def set_device(self, device: torch.device) -> None:
        self.current.append(device)

    def get_device_name(self, device: torch.device) -> str:
        return "Tesla K80"

    def get_device_capability(self, device: torch.device) -> tuple[int, int]:
        return 3, 7

    def get_arch_list(self) -> list[str]:
        return ["sm_75", "sm_90"]


def start(monkeypatch: pytest.MonkeyPatch, first: Callable[..., Any]) -> Starting:
    module = Starting()
    monkeypatch.setattr(TorchBackend, "devices", classmethod(lambda cls: ("cpu", "cuda:1")))
    monkeypatch.setattr(torch, "get_device_module", lambda asked: module)
    monkeypatch.setattr(torch, "ones", first)
    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    TorchBackend("cuda:1", torch.get_num_threads())
    return module


def test_the_device_is_made_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = torch.ones
    assert start(monkeypatch, lambda size, device: ones(size)).current == [torch.device("cuda:1")]


def test_a_card_that_torch_was_not_built_for_is_refused_with_what_it_was_built_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking(size: int, device: torch.device) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    with pytest.raises(UnsupportedError) as raised:
        start(monkeypatch, lacking)
    assert str(raised.value) == (
        "this torch (2.13.0+cu130) has no kernels for Tesla K80 (compute capability 3.7), only for sm_75, sm_90; "
        "install one that has: https://pytorch.org/get-started/locally/"
    )


def test_another_failure_of_the_first_call_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(size: int, device: torch.device) -> None:
        raise RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable")

    with pytest.raises(RuntimeError, match="busy or unavailable"):
        start(monkeypatch, busy)


def test_the_environment_names_the_card_and_its_libraries(
    backend_on: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_on("cuda:0", Starting())
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_getDriverVersion", lambda: 13020, raising=False)
    told = backend.environment()
    assert told["cuda"] == "13.0"
    assert told["cudnn"] == "91300"
    assert told["driver"] == "CUDA 13.2"
    assert told["device"] == "Tesla K80"
    assert told["compute capability"] == "3.7"
    assert told["tf32 in conv"] == "False"
    assert "hip" not in told


def test_the_environment_of_an_amd_gpu_names_miopen(
    backend_on: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_on("cuda:0", Starting())
    monkeypatch.setattr(torch.version, "hip", "7.0.51831")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 3005000, raising=False)
    told = backend.environment()
    assert (told["hip"], told["miopen"]) == ("7.0.51831", "3005000")
    assert not {"cuda", "cudnn", "driver"} & set(told)


def test_what_a_kind_of_device_does_not_tell_is_left_out(backend_on: Give) -> None:
    """Intel's capability is a dictionary; a Mac tells nothing."""
    intel = SimpleNamespace(
        get_device_properties=lambda device: SimpleNamespace(driver_version="1.6.33578"),
        get_device_capability=lambda device: {"max_work_group_size": 1024},
    )
    told = backend_on("xpu:0", intel).environment()
    assert told["driver"] == "1.6.33578"
    assert not {"device", "compute capability"} & set(told)
    assert not {"device", "compute capability", "driver"} & set(backend_on("mps:0").environment())
