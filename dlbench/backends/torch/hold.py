"""How a stream of a CUDA or ROCm device is held: by a kernel that waits for the host, or by one that takes a fixed time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import torch

SLEEP_SECONDS = 5e-3
"""How long a kernel of fixed length holds the stream: a host issues the launches of one call well within it, and each
sample waits for its end."""
TOP_CLOCK = 2e9
"""Cycles per second where torch does not tell: an NVIDIA H100 SXM runs at 1.98 GHz at most (as nvidia-smi states it), and a
slower clock makes a hold rather longer."""
HZ_IN_KHZ = 1000
ONE = (1, 1, 1)
NEWEST_TARGET = 75
"""The PTX below is for the card's own compute capability, or for 7.5 on newer ones, which compile it as well."""

PTX = """
.version 6.3
.target sm_{target}
.address_size 64
.visible .entry hold(.param .u64 flags, .param .s32 ticket, .param .s32 microseconds, .param .s32 mhz)
{{
    .reg .pred %done, %waits;
    .reg .b32 %ticket, %flag, %us;
    .reg .b64 %flags, %limit, %start, %now;
    ld.param.u64 %flags, [flags];
    cvta.to.global.u64 %flags, %flags;
    ld.param.s32 %ticket, [ticket];
    ld.param.s32 %us, [microseconds];
    mul.wide.s32 %limit, %us, 1000;
    mov.u64 %start, %globaltimer;
spin:
    ld.volatile.global.s32 %flag, [%flags];
    setp.ge.s32 %done, %flag, %ticket;
    @%done bra end;
    mov.u64 %now, %globaltimer;
    sub.u64 %now, %now, %start;
    setp.lt.u64 %waits, %now, %limit;
    @%waits bra spin;
    st.volatile.global.s32 [%flags+4], %ticket;
    membar.sys;
end:
    ret;
}}
"""
"""Spins until flags[0] reaches the ticket; past the limit it writes the ticket into flags[1] and gives up. Each hold has a
ticket of its own, so that nothing has to be reset between two. The %globaltimer counts nanoseconds (PTX ISA, special
registers). In PTX, which the driver compiles: torch's wheels bring all else, but no CUDA toolkit to compile C with."""

HIP = """
extern "C" __global__ void hold(volatile int *flags, int ticket, int microseconds, int mhz) {
    const unsigned long long limit = (unsigned long long)microseconds * mhz;
    const unsigned long long start = clock64();
    while (flags[0] < ticket) {
        if (clock64() - start < limit) continue;
        flags[1] = ticket;
        __threadfence_system();
        return;
    }
}
"""
"""The same for AMD GPUs, whose clock64 counts cycles."""

Kernel = Callable[[tuple[int, int, int], tuple[int, int, int], list[Any], int, Any], None]
"""Takes grid, block, arguments, bytes of shared memory and stream, as torch's own compiled kernels do."""


class Hold(Protocol):
    """A way to keep a stream from going on."""

    def start(self, stream: Any, limit: float) -> None:
        """Put in what holds the stream, for at most `limit` seconds; the device is the current one."""

    def release(self) -> bool:
        """Let the stream go; return whether it was still held."""


def hold_for(device: torch.device) -> Hold:
    """Return a kernel that waits for the host, loaded now; a sleep where the driver, or the compiler for ROCm, is not there.

    The device is the current one.
    """
    try:
        return Spin(_hip_kernel() if torch.version.hip else DriverKernel(device), device)
    except (AttributeError, OSError, RuntimeError):
        return Sleep(device)


def _hip_kernel() -> Kernel:
    compiled: Kernel = torch.cuda._compile_kernel(HIP, "hold")  # noqa: SLF001 - torch 2.8 and newer
    return compiled


class DriverKernel:
    """The kernel that waits, loaded and launched by the CUDA driver itself, in torch's context."""

    def __init__(self, device: torch.device) -> None:
        """Load it. Raises OSError without a driver, RuntimeError where the driver refuses."""
        major, minor = torch.cuda.get_device_capability(device)
        ptx = PTX.format(target=min(10 * major + minor, NEWEST_TARGET))
        self._driver = ctypes.CDLL("libcuda.so.1")
        module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        self._ask("cuModuleLoadData", ctypes.byref(module), ptx.encode())
        self._ask("cuModuleGetFunction", ctypes.byref(self._function), module, b"hold")

    def __call__(
        self,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: list[Any],
        shared: int,
        stream: Any,
    ) -> None:
        """Launch it; the first argument is a tensor, the others are ints."""
        flags, *numbers = args
        values = [ctypes.c_void_p(flags.data_ptr()), *map(ctypes.c_int, numbers)]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        handle = ctypes.c_void_p(stream.cuda_stream)
        self._ask("cuLaunchKernel", self._function, *grid, *block, shared, handle, pointers, None)

    def _ask(self, function: str, *arguments: Any) -> None:
        if status := getattr(self._driver, function)(*arguments):
            raise RuntimeError(f"{function} failed: CUDA error {status}")


class Spin:
    """A kernel of one thread that spins on a flag in page-locked memory, which the device reads at the host's address."""

    def __init__(self, kernel: Kernel, device: torch.device) -> None:
        """Take the compiled kernel."""
        self._kernel = kernel
        self._mhz = round(clock_rate(device) / 1e6)
        self._flags = torch.zeros(2, dtype=torch.int32, pin_memory=True)
        self._values = self._flags.numpy()
        self._ticket = 0

    def start(self, stream: Any, limit: float) -> None:
        """Launch the kernel."""
        self._ticket += 1
        self._kernel(ONE, ONE, [self._flags, self._ticket, round(limit * 1e6), self._mhz], 0, stream)

    def release(self) -> bool:
        """Set the flag; return whether the kernel had not given up by then."""
        self._values[0] = self._ticket
        return int(self._values[1]) != self._ticket


class Sleep:
    """torch's own kernel that counts cycles. It cannot be ended: what is behind it waits for 5 ms each time."""

    def __init__(self, device: torch.device) -> None:
        """Take the device, whose clock rate says how many cycles."""
        self._device = device
        self._rate = clock_rate(device)
        self._end: Any = None

    def start(self, stream: Any, limit: float) -> None:
        """Launch the kernel, and mark its end."""
        torch.cuda._sleep(round(min(limit, SLEEP_SECONDS) * self._rate))  # type: ignore[no-untyped-call]  # noqa: SLF001
        self._end = torch.Event(self._device)
        self._end.record(stream)

    def release(self) -> bool:
        """Return whether the kernel still runs."""
        return not self._end.query()


def clock_rate(device: torch.device) -> float:
    """Return the device's top clock in Hz: what its properties state, or 2 GHz."""
    khz = getattr(torch.cuda.get_device_properties(device), "clock_rate", 0)
    return khz * HZ_IN_KHZ if khz else TOP_CLOCK
