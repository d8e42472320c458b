"""The queue of an accelerator through torch, against stand-ins that write down what is asked of them, and in what order."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench.backends.torch import hold, queue
from dlbench.backends.torch.queue import TorchQueue
from dlbench.errors import UnsupportedError
from dlbench.timing.event_clock import EventClock
from dlbench.timing.queue import Queue

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

CARD = torch.device("cuda:0")
INTEL = torch.device("xpu:0")
MAC = torch.device("mps:0")
MIB = 2**20


class Stream:
    """A stream, the same object however often it is asked for."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def synchronize(self) -> None:
        self.driver.log.append("wait for the stream")


class Event:
    """An event whose time is how much the driver had done before it, in milliseconds."""

    driver: Driver

    def __init__(self, device: torch.device, *, enable_timing: bool = False) -> None:
        self.timing = enable_timing
        self.recorded = -1.0

    def record(self, stream: Stream | None = None) -> None:
        self.recorded = float(len(self.driver.log))
        self.driver.log.append("timed event" if self.timing else "event")
        assert (stream is None) == (self.driver.kind == "mps")

    def query(self) -> bool:
        return self.driver.passed

    def elapsed_time(self, end: Event) -> float:
        assert self.timing
        assert end.timing
        return end.recorded - self.recorded


class Driver:
    """What a framework's module for a kind of device offers."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.log: list[str] = []
        self.passed = False
        self.current: Stream | None = None
        self.properties = SimpleNamespace(L2_cache_size=50 * MIB, clock_rate=1_980_000)
        self.refusal: Exception | None = None
        if kind != "mps":
            self.Stream = lambda device: Stream(self)
        if kind == "cuda":
            self.CUDAGraph = self._graph
        if kind == "xpu":
            self.XPUGraph = self._graph

    def _graph(self) -> SimpleNamespace:
        return SimpleNamespace(replay=lambda: self.log.append("replay"))

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, graph: Any, stream: Stream) -> Iterator[None]:
        assert stream is self.current
        self.log.append("capture begins")
        try:
            yield
        finally:
            self.log.append("capture ends")
            if self.refusal is not None:
                raise self.refusal

    def synchronize(self) -> None:
        self.log.append("wait for the only stream")


def queue_on(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> tuple[TorchQueue, Driver]:
    driver = Driver(device.type)
    monkeypatch.setattr(torch, "get_device_module", lambda asked: driver)
    monkeypatch.setattr(torch, "Event", type("Event", (Event,), {"driver": driver}))
    monkeypatch.setattr(
        torch.accelerator, "synchronize", lambda asked: driver.log.append("wait for the device")
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda asked: driver.properties)
    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda asked: driver.properties)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(queue, "_reset_of_persisting_lines", lambda: lambda: driver.log.append("reset lines"))
    made = TorchQueue(device)
    buffer = SimpleNamespace(zero_=lambda: driver.log.append(f"overwrite in {driver.current is not None}"))
    made.__dict__["_overwritten"] = buffer
    return made, driver


def as_queue(made: TorchQueue) -> Queue:
    """The type checker holds the protocol against the class here."""
    return made


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> tuple[TorchQueue, Driver]:
    return queue_on(CARD, monkeypatch)


def test_a_queue_that_is_only_made_asks_nothing_of_the_device() -> None:
    """This build of torch has no CUDA: whatever is asked of it raises an error."""
    made = as_queue(TorchQueue(CARD))
    assert made.resolution == 0.5e-6
    assert EventClock(made).tick == 0.5e-6


def test_the_stream_is_one_of_its_own_and_current_while_active(card: tuple[TorchQueue, Driver]) -> None:
    made, driver = card
    seen: list[Stream | None] = []
    with made.active():
        seen.append(driver.current)
        with made.active():
            seen.append(driver.current)
        seen.append(driver.current)
    seen.append(driver.current)
    assert isinstance(seen[0], Stream)
    assert seen == [seen[0], seen[0], seen[0], None]


def test_events_time_in_seconds_and_are_recorded_in_the_stream(card: tuple[TorchQueue, Driver]) -> None:
    made, driver = card
    start, _, end = made.record(), made.record(), made.record()
    assert driver.log == ["timed event"] * 3
    assert made.elapsed(start, end) == 2e-3


def test_the_stream_and_the_device_are_waited_for_apart(card: tuple[TorchQueue, Driver]) -> None:
    made, driver = card
    made.wait()
    made.wait_device()
    assert driver.log == ["wait for the stream", "wait for the device"]


def test_a_mac_has_but_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    made, driver = queue_on(MAC, monkeypatch)
    with made.active():
        made.record()
    made.wait()
    made.flush()
    assert driver.log == ["timed event", "wait for the only stream", "overwrite in False"]


def test_the_cache_is_overwritten_in_the_stream_after_persisting_lines_are_let_go(
    card: tuple[TorchQueue, Driver],
) -> None:
    made, driver = card
    made.flush()
    assert driver.log == ["reset lines", "overwrite in True"]


def test_the_buffer_is_twice_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = queue_on(CARD, monkeypatch)
    del made.__dict__["_overwritten"]
    sizes: list[int] = []

    def empty(size: int, *, dtype: torch.dtype, device: torch.device) -> str:
        sizes.append(size * dtype.itemsize)
        return f"buffer on {device}"

    monkeypatch.setattr(torch, "empty", empty)
    assert str(made._overwritten) == "buffer on cuda:0"
    assert sizes == [100 * MIB]


@pytest.mark.parametrize(
    ("device", "properties", "hip", "mib"),
    [
        (CARD, {"L2_cache_size": 50 * MIB}, None, 50),
        (CARD, {}, None, 256),
        (CARD, {"L2_cache_size": 4 * MIB}, "7.0", 256),
        (INTEL, {"last_level_cache_size": 192 * MIB}, None, 192),
        (INTEL, {}, None, 408),
        (MAC, {}, None, 96),
        (torch.device("meta"), {}, None, 256),
    ],
)
def test_the_last_level_cache_is_what_torch_tells_or_the_largest_of_its_kind(
    monkeypatch: pytest.MonkeyPatch,
    device: torch.device,
    properties: dict[str, int],
    hip: str | None,
    mib: int,
) -> None:
    made, driver = queue_on(device, monkeypatch)
    driver.properties = SimpleNamespace(**properties)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert made.cache_bytes == mib * MIB


@pytest.mark.parametrize("device", [INTEL, MAC])
def test_other_devices_cannot_be_held(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    made, _ = queue_on(device, monkeypatch)
    with pytest.raises(UnsupportedError) as raised:
        made.hold(1.0)
    assert str(raised.value) == f"torch cannot hold back what is put into a stream of {device.type}"


class Spinning:
    """The kernel that holds, as launched: it gives up when the test says so."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.flags: Any = None

    def loaded(self, device: torch.device) -> Spinning:
        assert device == CARD
        assert self.driver.current is not None
        return self

    def compiled(self, source: str, name: str) -> Spinning:
        assert f"void {name}(" in source
        return self

    def __call__(self, grid: Any, block: Any, args: list[Any], shared: int, stream: Stream) -> None:
        assert (grid, block, shared) == ((1, 1, 1), (1, 1, 1), 0)
        assert stream is self.driver.current
        self.flags, *numbers = args
        self.driver.log.append(f"hold {numbers}")

    def give_up(self) -> None:
        self.flags[1] = self.flags[0] + 1


@pytest.fixture
def held(
    card: tuple[TorchQueue, Driver], monkeypatch: pytest.MonkeyPatch
) -> tuple[TorchQueue, Driver, Spinning]:
    made, driver = card
    kernel, zeros = Spinning(driver), torch.zeros
    monkeypatch.setattr(hold, "DriverKernel", kernel.loaded)
    monkeypatch.setattr(torch, "zeros", lambda *shape, dtype, pin_memory: zeros(*shape, dtype=dtype))
    return made, driver, kernel


def test_each_hold_waits_for_a_ticket_of_its_own(held: tuple[TorchQueue, Driver, Spinning]) -> None:
    made, driver, kernel = held
    made.hold(0.25)
    assert kernel.flags.tolist() == [0, 0]
    assert made.release()
    assert kernel.flags.tolist() == [1, 0]
    made.hold(2.0)
    assert kernel.flags.tolist() == [1, 0]
    assert made.release()
    assert kernel.flags.tolist() == [2, 0]
    assert driver.log == ["hold [1, 250000, 1980]", "hold [2, 2000000, 1980]"]


def test_a_hold_that_gave_up_is_told(held: tuple[TorchQueue, Driver, Spinning]) -> None:
    made, _, kernel = held
    made.hold(1.0)
    kernel.give_up()
    assert not made.release()
    made.hold(1.0)
    assert made.release()


def test_an_amd_gpu_is_held_by_a_kernel_that_torch_compiles(
    held: tuple[TorchQueue, Driver, Spinning], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, driver, kernel = held
    monkeypatch.setattr(torch.version, "hip", "7.0")
    monkeypatch.setattr(hold, "DriverKernel", lambda device: pytest.fail("there is no NVIDIA driver"))
    monkeypatch.setattr(torch.cuda, "_compile_kernel", kernel.compiled, raising=False)
    made.hold(1.0)
    assert made.release()
    assert driver.log == ["hold [1, 1000000, 1980]"]


def no_toolkit(source: str, name: str) -> None:
    raise OSError("ROCM_HOME environment variable is not set")


@pytest.mark.parametrize("lacking", ["NVIDIA's driver", "ROCm's compiler", "torch's interface to it"])
def test_without_such_a_kernel_the_queue_is_held_for_a_fixed_time(
    card: tuple[TorchQueue, Driver], monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    made, driver = card
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    if lacking == "NVIDIA's driver":
        monkeypatch.setattr(ctypes, "CDLL", Library)
    else:
        monkeypatch.setattr(torch.version, "hip", "7.0")
        monkeypatch.setattr(torch.cuda, "_compile_kernel", no_toolkit, raising=False)
    if lacking == "torch's interface to it":
        monkeypatch.delattr(torch.cuda, "_compile_kernel")
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: driver.log.append(f"sleep {cycles}"))
    made.hold(1.0)
    assert made.release()
    driver.passed = True
    assert not made.release()
    made.hold(1e-3)
    assert driver.log == ["sleep 9900000", "event", "sleep 1980000", "event"]


class Library:
    """The CUDA driver's library, which fails at one of its functions or at none."""

    failing = "cuModuleLoadData"

    def __init__(self, name: str) -> None:
        assert name == "libcuda.so.1"
        self.loaded = b""
        self.launches: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: 218 if name == self.failing else getattr(self, f"_{name}")(*arguments)

    def _cuModuleLoadData(self, module: Any, ptx: bytes) -> int:  # noqa: N802 - the driver's name
        self.loaded = ptx
        return 0

    def _cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> int:  # noqa: N802
        assert b".entry " + name + b"(" in self.loaded
        return 0

    def _cuLaunchKernel(self, function: Any, *rest: Any) -> int:  # noqa: N802
        *shape, shared, stream, pointers, extra = rest
        flags = ctypes.cast(pointers[0], ctypes.POINTER(ctypes.c_void_p))[0]
        numbers = [ctypes.cast(pointers[i], ctypes.POINTER(ctypes.c_int))[0] for i in (1, 2, 3)]
        self.launches.append((*shape, shared, stream.value, flags, *numbers, extra))
        return 0


@pytest.mark.parametrize(("capability", "target"), [((6, 0), 60), ((7, 5), 75), ((9, 0), 75), ((12, 1), 75)])
def test_the_driver_gets_the_kernel_for_the_card_and_its_arguments(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], target: int
) -> None:
    monkeypatch.setattr(Library, "failing", "")
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    kernel: Any = hold.DriverKernel(CARD)
    assert f".target sm_{target}\n".encode() in kernel._driver.loaded
    flags = torch.zeros(2, dtype=torch.int32)
    kernel((1, 1, 1), (1, 1, 1), [flags, 3, 250_000, 1980], 0, SimpleNamespace(cuda_stream=0x7F00))
    assert kernel._driver.launches == [(1,) * 6 + (0, 0x7F00, flags.data_ptr(), 3, 250_000, 1980, None)]


def test_a_launch_that_the_driver_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Library, "failing", "cuLaunchKernel")
    monkeypatch.setattr(ctypes, "CDLL", Library)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    kernel = hold.DriverKernel(CARD)
    with pytest.raises(RuntimeError, match="^cuLaunchKernel failed: CUDA error 218$"):
        kernel((1, 1, 1), (1, 1, 1), [torch.zeros(2), 1, 1, 1], 0, SimpleNamespace(cuda_stream=0))


def test_a_clock_that_torch_does_not_tell_is_taken_for_2_ghz(card: tuple[TorchQueue, Driver]) -> None:
    _, driver = card
    assert hold.clock_rate(CARD) == 1.98e9
    driver.properties = SimpleNamespace()
    assert hold.clock_rate(CARD) == 2e9


@pytest.mark.parametrize("arch", [75, 80, 90, 100, 120])
def test_the_kernel_that_holds_is_valid_for_every_card(arch: int, tmp_path: Path) -> None:
    """NVIDIA's assembler needs no card."""
    ptxas = shutil.which("ptxas")
    if ptxas is None:
        pytest.skip("ptxas is not installed")
    source = tmp_path / "hold.ptx"
    source.write_text(hold.PTX.format(target=75))
    command = [ptxas, f"--gpu-name=sm_{arch}", str(source), "-o", str(tmp_path / "hold.cubin")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")


@pytest.mark.parametrize("device", [CARD, INTEL])
def test_work_is_captured_in_the_stream_and_replayed_later(
    monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    made, driver = queue_on(device, monkeypatch)
    replay = made.capture(lambda: driver.log.append("work"))
    assert driver.log == ["capture begins", "work", "capture ends"]
    replay()
    replay()
    assert driver.log[3:] == ["replay", "replay"]
    assert driver.current is None


def test_a_kind_of_device_without_graphs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = queue_on(MAC, monkeypatch)
    with pytest.raises(UnsupportedError) as raised:
        made.capture(lambda: None)
    assert str(raised.value) == "torch has no graphs on mps"


def test_work_that_a_graph_cannot_hold_is_refused_with_what_it_did(card: tuple[TorchQueue, Driver]) -> None:
    made, driver = card
    driver.refusal = RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def waits() -> None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    with pytest.raises(UnsupportedError) as raised:
        made.capture(waits)
    assert str(raised.value) == (
        "it cannot be captured in a graph: CUDA error: operation not permitted when stream is capturing"
    )
    assert driver.current is None


def test_another_error_in_captured_work_is_raised_as_it_is(card: tuple[TorchQueue, Driver]) -> None:
    made, _ = card

    def lost() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        made.capture(lost)


@pytest.fixture
def debug_mode(monkeypatch: pytest.MonkeyPatch) -> list[int | str]:
    """The values that the mode was set to, the last one being what it is."""
    modes: list[int | str] = [2]

    def put(mode: int | str) -> None:
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=2)
        modes.append(mode)

    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", put)
    return modes


def test_a_call_that_waits_for_the_device_is_found_by_torchs_warning(
    card: tuple[TorchQueue, Driver], debug_mode: list[int | str]
) -> None:
    made, driver = card

    def waits() -> None:
        driver.log.append(f"called in {driver.current is not None}")
        warnings.warn(
            "called a synchronizing CUDA operation (Triggered internally at CUDAFunctions.cpp)", stacklevel=1
        )

    assert made.synchronises(waits)
    assert driver.log == ["called in True"]
    assert debug_mode == [2, "warn", 2]


def test_a_call_that_does_not_wait_is_made_once(
    card: tuple[TorchQueue, Driver], debug_mode: list[int | str]
) -> None:
    made, driver = card
    assert not made.synchronises(lambda: driver.log.append("called"))
    assert driver.log == ["called"]
    assert debug_mode == [2, "warn", 2]


def test_the_debug_mode_is_restored_after_an_error(
    card: tuple[TorchQueue, Driver], debug_mode: list[int | str]
) -> None:
    made, _ = card
    with pytest.raises(ZeroDivisionError):
        made.synchronises(lambda: 1 / 0)
    assert debug_mode == [2, "warn", 2]


@pytest.mark.parametrize("device", [INTEL, MAC])
def test_elsewhere_waiting_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, debug_mode: list[int | str], device: torch.device
) -> None:
    made, driver = queue_on(device, monkeypatch)
    assert not made.synchronises(lambda: driver.log.append("called"))
    assert driver.log == ["called"]
    assert debug_mode == [2]


def test_the_host_goes_on_in_seconds() -> None:
    made = TorchQueue(CARD)
    start = made.now()
    made.sleep(0.001)
    assert made.now() - start >= 0.001


def test_the_event_clock_takes_a_cold_sample_behind_a_hold(
    held: tuple[TorchQueue, Driver, Spinning], debug_mode: list[int | str]
) -> None:
    """The order of a cold sample: wait, overwrite, wait, hold, mark, call, mark, release, wait."""
    made, driver, _ = held
    clock = EventClock(made)

    def call() -> str:
        driver.log.append("call")
        return "output"

    clock.rehearse(call)
    clock.time_cold(call)
    last = len(driver.log) - 1 - driver.log[::-1].index("overwrite in True")
    assert [line.split(" [")[0] for line in driver.log[last:]] == [
        "overwrite in True",
        "wait for the device",
        "hold",
        "timed event",
        "call",
        "timed event",
        "wait for the stream",
        "wait for the device",
    ]
