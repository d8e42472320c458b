from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.backends.torch.backend import TorchBackend
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import rounded
from dlbench.timing.clock import HostClock
from dlbench.timing.event_clock import EventClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

ONEDNN: Any = torch.backends.mkldnn
CUDNN: Any = torch.backends.cudnn
NNPACK: Any = torch.backends.nnpack


@pytest.fixture
def backend() -> Iterator[TorchBackend]:
    threads = torch.get_num_threads()
    yield TorchBackend("cpu", 1)
    torch.set_num_threads(threads)


def nnpack_enabled() -> bool:
    (enabled,) = NNPACK.set_flags(True)
    NNPACK.set_flags(enabled)
    return bool(enabled)


def flags() -> dict[str, object]:
    return {
        "onednn": ONEDNN.enabled,
        "cudnn": CUDNN.enabled,
        "nnpack": nnpack_enabled(),
        "cudnn tf32": CUDNN.allow_tf32,
        "cudnn benchmark": CUDNN.benchmark,
        "precision": torch.get_float32_matmul_precision(),
        "inference": torch.is_inference_mode_enabled(),
    }


SET = {"inference": True, "cudnn tf32": False, "precision": "highest", "cudnn benchmark": False}
"""What is set for every variant of a float32 case."""


def test_native_turns_the_vendors_libraries_off_and_nothing_else(backend: TorchBackend) -> None:
    before = flags()
    with backend.activate("native"):
        inside = flags()
    assert inside == {**before, **SET, "onednn": False, "cudnn": False, "nnpack": False}


@pytest.mark.parametrize("variant", ["library", "compiled"])
def test_the_others_leave_torchs_libraries_as_they_are(backend: TorchBackend, variant: str) -> None:
    before = flags()
    with backend.activate(variant):
        assert flags() == {**before, **SET}


@pytest.mark.parametrize("variant", ["library", "native", "compiled"])
def test_flags_are_restored_even_after_an_error(backend: TorchBackend, variant: str) -> None:
    before = flags()
    with pytest.raises(ZeroDivisionError), backend.activate(variant):
        raise ZeroDivisionError
    assert flags() == before


@pytest.mark.parametrize("enabled", [True, False])
def test_the_libraries_are_afterwards_as_the_user_had_them(backend: TorchBackend, enabled: bool) -> None:
    before = ONEDNN.enabled, CUDNN.enabled
    (nnpack_before,) = NNPACK.set_flags(enabled)
    ONEDNN.enabled = CUDNN.enabled = enabled
    try:
        with backend.activate("native"):
            pass
        assert (ONEDNN.enabled, CUDNN.enabled, nnpack_enabled()) == (enabled,) * 3
    finally:
        ONEDNN.enabled, CUDNN.enabled = before
        NNPACK.set_flags(nnpack_before)


def test_an_output_made_under_a_variant_can_be_poisoned_outside(backend: TorchBackend) -> None:
    with backend.activate("library"):
        output = torch.ones(3)
    backend.poison(output)
    assert torch.isnan(output).all()


def test_an_accelerator_that_is_not_there_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchBackend, "devices", classmethod(lambda cls: ("cpu", "cuda:0", "cuda:1")))
    with pytest.raises(UnsupportedError) as raised:
        TorchBackend("cuda:2", 1)
    assert str(raised.value) == "no cuda:2: there are 2: cuda:0, cuda:1"


def test_devices_are_the_processor_and_each_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert TorchBackend.devices() == ("cpu", "cuda:0", "cuda:1")


def test_without_an_accelerator_there_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert TorchBackend.devices() == ("cpu",)


def test_threads_are_set_and_reported(backend: TorchBackend) -> None:
    assert torch.get_num_threads() == 1
    assert backend.environment()["threads"] == "1"


def test_the_libraries_are_found_in_what_torch_was_built_with(backend: TorchBackend) -> None:
    mkl: Any = torch.backends.mkl
    assert ONEDNN.is_available() == (backend.environment()["onednn"] != "none")
    assert mkl.is_available() == (backend.environment()["mkl"] != "none")


class Elsewhere:
    device = torch.device("cuda:1")


def test_work_on_an_accelerator_is_timed_by_device_events(backend: TorchBackend) -> None:
    assert isinstance(backend.clock(), HostClock)
    assert isinstance(backend.clock_for(torch.ones(1)), HostClock)
    assert isinstance(backend.clock_for(torch.ones(1, device="meta")), HostClock)
    assert isinstance(backend.clock_for(torch.float32), HostClock)
    assert isinstance(backend.clock_for(Elsewhere()), EventClock)


def test_an_allocation_that_fails_is_known_as_such(backend: TorchBackend) -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert backend.is_out_of_memory(raised.value)


def test_another_error_is_not_taken_for_a_lack_of_memory(backend: TorchBackend) -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not backend.is_out_of_memory(raised.value)


@settings(deadline=None)
@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1))
def test_bfloat16_is_rounded_as_the_inputs_are(numbers: list[float]) -> None:
    values = np.array(numbers)
    backend = TorchBackend("cpu", torch.get_num_threads())
    assert np.array_equal(backend.host(backend.tensor(values, "bfloat16")), rounded(values, "bfloat16"))
