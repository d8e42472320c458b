"""The backend over the stand-in: its devices and why there are none, its tensors, memory and faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from standin_cudnn import Library
from standin_cupy import Card, CUBLASError, CUDADriverError, CUDARuntimeError, OutOfMemoryError

from dlbench.backends.backend import Identity
from dlbench.errors import UnsupportedError
from dlbench.timing.clock import HostClock
from dlbench.timing.event_clock import EventClock

INSUFFICIENT = CUDARuntimeError(35, "driver version is insufficient")


def test_each_cuda_device_is_one(module: Any, card: Card) -> None:
    card.count = 2
    assert module("backend").CupyBackend.devices() == ("cuda:0", "cuda:1")


@pytest.mark.parametrize("fault", [INSUFFICIENT, CUDARuntimeError(100), ImportError("libcudart.so.13")])
def test_without_a_driver_there_is_no_device(module: Any, card: Card, fault: Exception) -> None:
    card.fault = fault
    assert module("backend").CupyBackend.devices() == ()


@pytest.mark.parametrize(
    ("device", "settings", "reason"),
    [
        ("cpu", {}, "cupy computes on CUDA GPUs only, not on cpu"),
        ("xpu:0", {}, "cupy computes on CUDA GPUs only, not on xpu:0"),
        ("cuda:one", {}, "cupy computes on CUDA GPUs only, not on cuda:one"),
        ("cuda:5", {"count": 2}, "no cuda:5: there are 2: cuda:0, cuda:1"),
        ("cuda:1", {"count": 1}, "no cuda:1: there is 1: cuda:0"),
        (
            "cuda:0",
            {"fault": INSUFFICIENT, "driver": 0},
            "there is no NVIDIA driver here; install one (nvidia-smi must list the GPU)",
        ),
        (
            "cuda:0",
            {"fault": INSUFFICIENT, "driver": 12040},
            (
                "the driver supports CUDA 12.4, older than the runtime 13.2 of this cupy; "
                "update the driver or pip install cupy-cuda12x"
            ),
        ),
        ("cuda:0", {"fault": CUDARuntimeError(100)}, "the driver sees no CUDA GPU; see what nvidia-smi says"),
        ("cuda:0", {"count": 0}, "the driver sees no CUDA GPU; see what nvidia-smi says"),
        (
            "cuda:0",
            {"fault": CUDARuntimeError(803, "driver mismatch")},
            "CUDA cannot be started (driver mismatch); see what nvidia-smi says",
        ),
        (
            "cuda:0",
            {"fault": ImportError("libcudart.so.13: cannot open shared object file")},
            (
                "a CUDA 13 library is missing (libcudart.so.13: cannot open shared object file); "
                'pip install "cupy-cuda13x[ctk]"'
            ),
        ),
        (
            "cuda:0",
            {"fault": ImportError("libcudart.so.12: absent"), "runtime": 12090},
            'a CUDA 12 library is missing (libcudart.so.12: absent); pip install "cupy-cuda12x[ctk]"',
        ),
    ],
)
def test_why_a_device_cannot_be_had_is_told_with_what_to_do(
    module: Any,
    card: Card,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    settings: dict[str, Any],
    reason: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    vars(card).update(settings)
    backend = module("backend").CupyBackend
    assert backend.why_not(device) == reason
    with pytest.raises(UnsupportedError) as raised:
        backend(device, 1)
    assert str(raised.value) == reason


def test_devices_that_a_variable_hides_are_told_so(
    module: Any, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    card.count = 0
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert module("backend").CupyBackend.why_not("cuda:0") == (
        "no CUDA GPU is visible: CUDA_VISIBLE_DEVICES is ``; unset it or name a GPU"
    )


def test_the_device_is_made_the_current_one(module: Any, card: Card) -> None:
    card.count = 3
    module("backend").CupyBackend("cuda:2", 1)
    assert card.log == ["use 2"]


@pytest.mark.parametrize(
    ("dtype", "storage"), [("float64",) * 2, ("float32",) * 2, ("tf32", "float32"), ("float16",) * 2]
)
def test_a_tensor_is_a_copy_in_the_dtypes_storage(backend: Any, dtype: str, storage: str) -> None:
    values = np.array([[1.0, -2.5], [0.0, 3.0]])
    tensor = backend.tensor(values, dtype)
    assert (backend.dtype(tensor), tensor.flags.c_contiguous) == (storage, True)
    assert np.array_equal(backend.host(tensor), values)
    backend.poison(tensor)
    assert np.isnan(backend.host(tensor)).all()
    assert values.tolist() == [[1.0, -2.5], [0.0, 3.0]]


def test_bfloat16_is_told_to_be_torchs(backend: Any) -> None:
    with pytest.raises(UnsupportedError) as raised:
        backend.tensor(np.ones(3), "bfloat16")
    assert str(raised.value) == "cupy has no bfloat16; torch has"


def test_the_device_is_waited_for_where_tensors_change_hands(backend: Any, card: Card) -> None:
    works: list[Callable[[], object]] = [
        lambda: backend.tensor(np.ones(3), "float32"),
        lambda: backend.host(np.ones(3)),
        lambda: backend.poison(np.ones(3)),
        lambda: backend.laid_out(np.ones((1, 2, 3, 4)), "NHWC"),
    ]
    for work in works:
        card.log.clear()
        work()
        assert "device waited for" in card.log


def test_tf32_is_refused_on_a_board_without(backend: Any, card: Card) -> None:
    for capability in ("80", "90", "120"):
        card.capability = capability
        with backend.activate("library", dtype="tf32"):
            pass
    card.capability = "75"
    with backend.activate("library", dtype="float32"):
        pass
    with pytest.raises(UnsupportedError) as raised, backend.activate("library", dtype="tf32"):
        pass
    assert str(raised.value) == "cuda:0 has no TF32; it needs compute capability 8.0"


def test_a_flag_of_torchs_is_refused(backend: Any) -> None:
    with backend.activate("cudnn", flags=("graph", "all-plans")):
        pass
    with pytest.raises(UnsupportedError) as raised, backend.activate("cudnn", flags=("cudnn.benchmark",)):
        pass
    assert str(raised.value) == "cudnn.benchmark is torch's; cupy:cudnn has the mode all-plans"


def test_channels_last_changes_the_memory_and_not_the_values(backend: Any) -> None:
    values = np.arange(120.0).reshape(2, 3, 4, 5)
    tensor = backend.laid_out(backend.tensor(values, "float32"), "NHWC")
    assert tensor.shape == (2, 3, 4, 5)
    assert [step // 4 for step in tensor.strides] == [60, 1, 15, 3]
    assert np.array_equal(backend.host(tensor), values)


@pytest.mark.parametrize(("shape", "layout"), [((2, 3, 4, 5), "NCWH"), ((2, 3), "NHWC")])
def test_another_layout_is_refused(backend: Any, shape: tuple[int, ...], layout: str) -> None:
    with pytest.raises(UnsupportedError) as raised:
        backend.laid_out(backend.tensor(np.ones(shape), "float32"), layout)
    assert str(raised.value) == f"cupy has no layout {layout} for {len(shape)} axes"


def test_the_environment_has_what_changes_speed(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert backend.environment() == {
        "cupy": "14.2.0",
        "cuda runtime": "13.2",
        "cuda driver": "13.2",
        "cublas": "130100",
        "nvrtc": "13.2",
        "cudnn": "91200",
        "cudnn frontend": "1.32.0",
        "device": "Board",
        "compute capability": "12.0",
        "NVIDIA_TF32_OVERRIDE": "0",
    }


def test_a_library_that_is_not_there_has_no_version(
    backend: Any, cudnn: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy_backends.cuda.libs.cublas", None)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    cudnn.missing = RuntimeError("Unable to find symbol cudnnGetVersion")
    facts = backend.environment()
    assert (facts["cublas"], facts["cudnn"], facts["cudnn frontend"]) == ("none", "none", "1.32.0")
    assert facts["NVIDIA_TF32_OVERRIDE"] == "unset"


def test_work_on_the_device_is_timed_by_its_events(backend: Any, module: Any) -> None:
    assert isinstance(backend.clock(), EventClock)
    assert isinstance(backend.clock_for(backend.tensor(np.ones(2), "float32")), EventClock)
    assert isinstance(backend.clock_for(np.ones(2)), HostClock)


def test_the_board_is_known_by_its_uuid_and_address(backend: Any, card: Card) -> None:
    assert backend.identity() == Identity("GPU-01020304-0506-0708-090a-0b0c0d0e0f10", "0000:00:00.0")
    card.uuid = bytes(range(1, 17)) + b"more that follows in memory"
    assert backend.identity().uuid == "GPU-01020304-0506-0708-090a-0b0c0d0e0f10"


def test_a_uuid_that_was_cut_short_is_not_told(backend: Any, card: Card) -> None:
    card.uuid = b"\x01\x02"
    assert backend.identity() == Identity("", "0000:00:00.0")


def test_free_memory_is_the_devices_and_the_pools(backend: Any, card: Card) -> None:
    assert backend.free_memory() == card.free + card.pool_free


def test_the_peak_is_what_the_work_held_at_most(backend: Any, card: Card) -> None:
    def work() -> None:
        (hook,) = card.hooks
        hook.malloc_postprocess(device_id=0, size=10, mem_size=512, mem_ptr=1, pmem_id=1)
        hook.malloc_postprocess(device_id=0, size=10, mem_size=1024, mem_ptr=2, pmem_id=2)
        hook.malloc_postprocess(device_id=0, size=10, mem_size=4096, mem_ptr=0, pmem_id=0)  # it failed
        hook.free_postprocess(device_id=0, mem_size=1024, mem_ptr=2, pmem_id=2)
        hook.malloc_postprocess(device_id=0, size=10, mem_size=512, mem_ptr=3, pmem_id=3)

    assert backend.peak_of(work) == 1536
    assert card.hooks == []
    assert backend.peak_of(lambda: None) == 0


def test_the_hook_that_counts_is_taken_off_after_an_error(backend: Any, card: Card) -> None:
    with pytest.raises(ZeroDivisionError):
        backend.peak_of(lambda: 1 / 0)
    assert card.hooks == []


def test_both_pools_are_given_back(backend: Any, card: Card) -> None:
    card.log.clear()
    backend.release()
    assert card.log == ["pool freed", "pinned pool freed"]


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("out of memory allocating 512 bytes"),
        MemoryError(),
        CUDARuntimeError(2),
        CUDADriverError(2),
        CUBLASError(3),
        RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=repr,
)
def test_a_lack_of_memory_is_known_and_harms_nothing_else(backend: Any, error: Exception) -> None:
    assert backend.is_out_of_memory(error)
    assert not backend.is_fatal(error)


@pytest.mark.parametrize("code", [214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999])
@pytest.mark.parametrize("kind", [CUDARuntimeError, CUDADriverError])
def test_an_error_that_stays_is_fatal(backend: Any, kind: type[CUDARuntimeError], code: int) -> None:
    assert backend.is_fatal(kind(code))
    assert not backend.is_out_of_memory(kind(code))


@pytest.mark.parametrize("code", [1, 9, 98, 700])
def test_an_error_of_cublas_is_judged_by_what_it_left(backend: Any, card: Card, code: int) -> None:
    assert not backend.is_fatal(CUBLASError(13))
    card.fault = CUDARuntimeError(code)
    assert backend.is_fatal(CUBLASError(13)) == (code == 700)
    assert backend.is_fatal(RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")) == (code == 700)


@pytest.mark.parametrize("error", [CUDARuntimeError(1), CUDARuntimeError(98), CUDADriverError(900)], ids=repr)
def test_an_error_that_passes_is_neither(backend: Any, error: Exception) -> None:
    assert not backend.is_fatal(error)
    assert not backend.is_out_of_memory(error)
