"""The Queue of one CUDA device through cupy: a stream of its own, its events, its graphs and the kernel that holds it."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from dlbench.backends.cupy import faults
from dlbench.errors import UnsupportedError
from dlbench.timing.clock import Call
from dlbench.timing.queue import Mark

EVENT_RESOLUTION = 0.5e-6
"""Seconds; the CUDA runtime API states about 0.5 µs for cudaEventElapsedTime."""
PROBE_SECONDS = 0.05
"""How long a queue is held while a call is tried for waiting: far longer than a call takes to be put in."""
FLUSH_FACTOR = 2
"""How many times the size of the cache is written over to flush it."""

HOLD = """
__device__ inline unsigned long long nanoseconds() {
    unsigned long long now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
}

// Spins until *go reaches the ticket; past the limit it writes the ticket into *expired and gives up.
extern "C" __global__ void hold(const volatile int *go, volatile int *expired, int ticket, unsigned long long limit) {
    const unsigned long long start = nanoseconds();
    while (*go < ticket) {
        if (nanoseconds() - start < limit) continue;
        *expired = ticket;
        __threadfence_system();
        return;
    }
}
"""
"""The kernel that holds a queue. Each hold has a ticket of its own, so that nothing has to be reset between two."""


class CupyQueue:
    """A non-blocking stream on one CUDA device."""

    def __init__(self, index: int) -> None:
        """Take the device by its index; buffers and kernels are made when first needed."""
        self._device = cupy.cuda.Device(index)
        self._ticket = 0
        with self._device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
            self._cache = int(
                cupy.cuda.runtime.deviceGetAttribute(cupy.cuda.runtime.cudaDevAttrL2CacheSize, index)
            )

    @property
    def resolution(self) -> float:
        """The resolution of a CUDA event, in seconds."""
        return EVENT_RESOLUTION

    @property
    def cache_bytes(self) -> int:
        """The size of the L2 cache in bytes."""
        return self._cache

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make this cupy's current device and stream."""
        with self._device, self._stream:
            yield

    def record(self) -> Mark:
        """Put an event into the stream."""
        with self._device:
            event = cupy.cuda.Event()
            event.record(self._stream)
        return event

    def elapsed(self, start: Mark, end: Mark) -> float:
        """Return the seconds between two events."""
        return float(cupy.cuda.get_elapsed_time(start, end)) * 1e-3

    def wait(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()

    def wait_device(self) -> None:
        """Wait for every stream of the device."""
        self._device.synchronize()

    def hold(self, limit: float) -> None:
        """Put in a kernel of one thread that spins on a flag in the host's memory, for at most `limit` seconds.

        Raises UnsupportedError where NVRTC is not installed.
        """
        flags = self._flags
        self._ticket += 1
        arguments = (
            np.uint64(flags.go_address),
            np.uint64(flags.expired_address),
            np.int32(self._ticket),
            np.uint64(round(limit * 1e9)),
        )
        with self.active():
            try:
                _hold_kernel()((1,), (1,), arguments)
            except ImportError as error:
                raise UnsupportedError(faults.missing_library(error)) from error

    def release(self) -> bool:
        """Set the flag; return whether the kernel had not given up by then."""
        self._flags.go = self._ticket
        return self._flags.expired != self._ticket

    def flush(self) -> None:
        """Write over twice the cache's size; lines that were set to persist in it are let go."""
        reset = _reset_of_persisting_lines()
        with self.active():
            if reset is not None:
                reset()
            self._overwritten.data.memset_async(0, self._overwritten.nbytes)

    def capture(self, work: Callable[[], None]) -> Call:
        """Record the work as a CUDA graph, whose temporary arrays stand in memory that nothing else gets.

        Raises UnsupportedError where the work waits for the device or does what else a graph cannot hold.
        """
        pool = cupy.cuda.MemoryPool()
        with self.active(), cupy.cuda.using_allocator(pool.malloc):
            try:
                graph = self._recorded(work)
            except RuntimeError as error:
                if faults.is_capture(error):
                    raise UnsupportedError(f"it cannot be captured in a CUDA graph: {error}") from error
                raise
        return _Replay(graph, self._stream, pool)

    def _recorded(self, work: Callable[[], None]) -> Any:
        self._stream.begin_capture()
        try:
            work()
        except BaseException:
            if self._stream.is_capturing():
                self._abandon()
            raise
        return self._stream.end_capture()

    def _abandon(self) -> None:
        """End a capture that failed, so that the stream can be used again; that it failed is known."""
        try:
            self._stream.end_capture()
        except RuntimeError as error:
            if not faults.is_capture(error):
                raise

    def synchronises(self, call: Call) -> bool:
        """Make the call behind a hold of 50 ms and return whether it came back only after the hold had given up.

        cupy has no mode that reports waiting. The call must have been made before: what CUDA loads at a first call
        waits for the device as well. A call whose issue alone takes 50 ms of the host's time is taken for one that
        waits.
        """
        try:
            self.hold(PROBE_SECONDS)
        except UnsupportedError:
            return False
        try:
            with self.active():
                call()
        finally:
            held = self.release()
            self.wait()
        return not held

    def now(self) -> float:
        """Return host seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
        time.sleep(seconds)

    @functools.cached_property
    def _flags(self) -> _Flags:
        with self._device:
            return _Flags()

    @functools.cached_property
    def _overwritten(self) -> Any:
        with self.active():
            return cupy.empty(FLUSH_FACTOR * self._cache, cupy.uint8)


class _Flags:
    """Two ints in the host's memory that the device reads and writes at the same address (unified addressing)."""

    def __init__(self) -> None:
        self._memory = cupy.cuda.PinnedMemory(
            2 * ctypes.sizeof(ctypes.c_int), cupy.cuda.runtime.hostAllocMapped
        )
        self._ints = (ctypes.c_int * 2).from_address(self._memory.ptr)
        self._ints[0] = self._ints[1] = 0

    @property
    def go_address(self) -> int:
        """Where the kernel looks whether it may end."""
        return int(self._memory.ptr)

    @property
    def expired_address(self) -> int:
        """Where the kernel writes that it gave up."""
        return self.go_address + ctypes.sizeof(ctypes.c_int)

    @property
    def go(self) -> int:
        """The highest ticket that may end."""
        return self._ints[0]

    @go.setter
    def go(self, ticket: int) -> None:
        self._ints[0] = ticket

    @property
    def expired(self) -> int:
        """The last ticket that gave up; 0 while none did."""
        return self._ints[1]


class _Replay:
    """A call that puts a graph into its stream; it keeps the graph's memory."""

    def __init__(self, graph: Any, stream: Any, pool: Any) -> None:
        self._graph, self._stream, self._pool = graph, stream, pool

    def __call__(self) -> None:
        self._graph.launch(self._stream)


@functools.cache
def _hold_kernel() -> Any:
    return cupy.RawKernel(HOLD, "hold", options=("-std=c++17",))


@functools.cache
def _reset_of_persisting_lines() -> Callable[[], int] | None:
    """Return the driver's cuCtxResetPersistingL2Cache, which cupy does not bind; None where the driver has none."""
    try:
        reset: Callable[[], int] = ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache
    except (OSError, AttributeError):
        return None
    return reset
