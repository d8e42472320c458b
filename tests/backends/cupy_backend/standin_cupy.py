"""A stand-in for cupy: arrays are numpy's, a device is a list of what it was told, and time passes only in a hold.

It knows what the backend uses and nothing else; whatever CUDA would refuse, it asserts.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import erf

LEAD = 512
"""cupy's pools align every block to so many bytes."""


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text or f"cudaError{status}")
        self.status = status


class CUDADriverError(CUDARuntimeError):
    pass


class CUBLASError(CUDARuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


@dataclass
class Launched:
    """One launch, as a kernel gets it."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    shared: int


@dataclass
class Hold:
    """A hold that waits in a stream."""

    go: int
    expired: int
    ticket: int
    limit_ns: int


@dataclass
class Card:
    """What the tests set and see of the simulated board."""

    count: int = 1
    driver: int = 13020
    runtime: int = 13020
    fault: Exception | None = None
    cublas_fault: ImportError | None = None
    uuid: bytes = bytes(range(1, 17))
    cache: int = 4096
    capability: str = "120"
    free: int = 10**9
    pool_free: int = 500
    launched: list[Launched] = field(default_factory=list)
    modules: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    products: list[tuple[Any, ...]] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    hooks: list[Any] = field(default_factory=list)
    allocators: list[Any] = field(default_factory=list)
    streams: list[Any] = field(default_factory=list)
    elapsed_ms: Iterator[float] = field(default_factory=lambda: iter(()))

    def drain(self) -> None:
        """Let the device work off its queue: a hold that was not released gives up at its limit."""
        for hold in self.holds:
            if _int_at(hold.go) < hold.ticket:
                ctypes.c_int.from_address(hold.expired).value = hold.ticket
        self.holds.clear()


def _int_at(address: int) -> int:
    return ctypes.c_int.from_address(address).value


class Pointer:
    def __init__(self, array: np.ndarray[Any, Any], card: Card) -> None:
        self._array, self._card = array, card
        self.ptr = array.ctypes.data

    def copy_from_device_async(self, source: Pointer, size: int) -> None:
        self.copy_from_host_async(source.ptr, size)

    def copy_from_host_async(self, address: int, size: int) -> None:
        ctypes.memmove(self.ptr, address, size)

    def copy_to_host_async(self, address: int, size: int) -> None:
        ctypes.memmove(address, self.ptr, size)

    def memset_async(self, value: int, size: int) -> None:
        assert size == self._array.nbytes
        self._card.log.append(f"memset {size}")
        self._array.fill(value)


def make(card: Card) -> dict[str, ModuleType]:
    """Return the modules that stand for cupy, by name."""
    module = ModuleType("cupy")

    class ndarray(np.ndarray):  # noqa: N801 - cupy's name
        @property
        def data(self) -> Any:
            return Pointer(self, card)

        @property
        def device(self) -> Any:
            return SimpleNamespace(id=0)

    def device_array(values: np.ndarray[Any, Any]) -> Any:
        return values.view(ndarray)

    def empty(shape: Any, dtype: Any = float) -> Any:
        values = np.empty(shape, dtype)
        for hook in card.hooks:
            hook.malloc_postprocess(
                device_id=0, size=values.nbytes, mem_size=_rounded(values.nbytes), mem_ptr=1, pmem_id=1
            )
        values.fill(77)  # a buffer holds what was there before
        return device_array(values)

    module.__dict__.update(
        __version__="14.2.0",
        ndarray=ndarray,
        uint8=np.uint8,
        empty=empty,
        empty_like=lambda array: empty(array.shape, array.dtype),
        lib=SimpleNamespace(stride_tricks=np.lib.stride_tricks),
        zeros=lambda shape, dtype: device_array(np.zeros(shape, dtype)),
        ones=lambda shape, dtype: device_array(np.ones(shape, dtype)),
        asarray=lambda values: device_array(values.copy()),
        asnumpy=lambda array: np.array(array),
        ElementwiseKernel=ElementwiseKernel,
        random=SimpleNamespace(default_rng=np.random.default_rng),
        RawModule=lambda **given: RawModule(card, **given),
        RawKernel=lambda code, name, options=(): RawKernel(card, code, name, options),
        get_default_memory_pool=lambda: SimpleNamespace(
            free_bytes=lambda: card.pool_free, free_all_blocks=lambda: card.log.append("pool freed")
        ),
        get_default_pinned_memory_pool=lambda: SimpleNamespace(
            free_all_blocks=lambda: card.log.append("pinned pool freed")
        ),
    )
    for name in (
        "max",
        "sum",
        "subtract",
        "exp",
        "log",
        "divide",
        "multiply",
        "add",
        "maximum",
        "copyto",
        "triu",
        "greater_equal",
        "not_equal",
        "tanh",
        "minimum",
        "sqrt",
        "power",
        "mean",
        "argmax",
        "argsort",
        "arange",
        "take",
        "concatenate",
    ):
        setattr(module, name, getattr(np, name))
    module.cuda = cuda_of(card)  # type: ignore[attr-defined]
    cublas = cublas_of(card)
    return {
        "cupy": module,
        "cupy_backends": ModuleType("cupy_backends"),
        "cupy_backends.cuda": ModuleType("cupy_backends.cuda"),
        "cupy_backends.cuda.libs": ModuleType("cupy_backends.cuda.libs"),
        "cupy_backends.cuda.libs.cublas": cublas,
    }


def _rounded(size: int) -> int:
    return -(-size // LEAD) * LEAD


C_FUNCTIONS = {"erf": erf, "exp": np.exp, "fabs": np.abs, "tanh": np.tanh}


class ElementwiseKernel:
    """Evaluates the one expression that the backend has in it, which is Python's as well as C's."""

    def __init__(self, inputs: str, outputs: str, operation: str, name: str) -> None:
        self._names = [one.split()[1] for one in inputs.split(", ")]
        (self._output,) = [one.split()[1] for one in outputs.split(", ")]
        left, _, self._expression = operation.partition(" = ")
        assert left == self._output
        assert name.isidentifier()

    def __call__(self, *arguments: Any) -> Any:
        *inputs, output = arguments
        values = dict(zip(self._names, inputs, strict=True))
        output[...] = eval(self._expression, C_FUNCTIONS, values)  # the backend's own text
        return output


class RawModule:
    def __init__(self, card: Card, *, code: str, options: tuple[str, ...]) -> None:
        assert isinstance(options, tuple)
        self._card, self._code, self._options = card, code, options
        self.compiled = False

    def compile(self) -> None:
        self._card.modules.append((self._code, self._options))
        self.compiled = True

    def get_function(self, name: str) -> RawKernel:
        assert self.compiled
        assert f" {name}(" in self._code
        return RawKernel(self._card, self._code, name, self._options)


class RawKernel:
    def __init__(self, card: Card, code: str, name: str, options: tuple[str, ...]) -> None:
        self._card, self.code, self.name, self.options = card, code, name, options

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        arguments: tuple[Any, ...],
        *,
        shared_mem: int = 0,
    ) -> None:
        assert 1 <= int(np.prod(block)) <= 1024
        assert all(type(extent) is int and extent >= 1 for extent in (*grid, *block))
        assert all(isinstance(one, np.ndarray | np.generic) for one in arguments)
        self._card.launched.append(Launched(self.name, grid, block, arguments, shared_mem))
        if self.name == "hold":
            go, expired, ticket, limit = arguments
            types = [type(one) for one in arguments]
            assert types == [np.uint64, np.uint64, np.int32, np.uint64]
            self._card.holds.append(Hold(int(go), int(expired), int(ticket), int(limit)))
            self._card.log.append("hold")


def cuda_of(card: Card) -> Any:  # noqa: C901 - a namespace of small classes
    def ask(answer: Callable[[], Any]) -> Callable[..., Any]:
        def asked(*_: Any) -> Any:
            if card.fault is not None:
                raise card.fault
            return answer()

        return asked

    class Device:
        def __init__(self, index: int) -> None:
            self.id = index
            self.compute_capability = card.capability

        def use(self) -> None:
            card.log.append(f"use {self.id}")

        def synchronize(self) -> None:
            card.log.append("device waited for")
            card.drain()

        def __enter__(self) -> Device:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    class Stream:
        def __init__(self, *, non_blocking: bool) -> None:
            assert non_blocking
            self.ptr = 4000 + len(card.streams)
            self._capturing = False

        def __enter__(self) -> Stream:
            card.streams.append(self)
            return self

        def __exit__(self, *_: object) -> None:
            assert card.streams.pop() is self

        def synchronize(self) -> None:
            if self._capturing:
                raise CUDARuntimeError(900, "operation not permitted when stream is capturing")
            card.log.append("stream waited for")
            card.drain()

        def begin_capture(self) -> None:
            assert card.streams[-1] is self
            self._capturing = True
            card.log.append("capture")

        def is_capturing(self) -> bool:
            return self._capturing

        def end_capture(self) -> Any:
            self._capturing = False
            return SimpleNamespace(launch=lambda stream: card.log.append(f"graph on {stream.ptr}"))

    class Event:
        def record(self, stream: Any) -> None:
            self.stream = stream
            card.log.append("event")

        def synchronize(self) -> None:
            card.log.append("event waited for")

    class MemoryHook:
        name = "hook"

        def __enter__(self) -> Any:
            card.hooks.append(self)
            return self

        def __exit__(self, *_: object) -> None:
            card.hooks.remove(self)

    class PinnedMemory:
        def __init__(self, size: int, flags: int) -> None:
            assert flags == 2  # cudaHostAllocMapped
            self._buffer = ctypes.create_string_buffer(b"\xff" * size, size)
            self.ptr = ctypes.addressof(self._buffer)

    class MemoryPool:
        def malloc(self, size: int) -> None:
            raise AssertionError("numpy's arrays come from elsewhere")

    @contextmanager
    def using_allocator(allocator: Any) -> Iterator[None]:
        card.allocators.append(allocator)
        yield

    runtime = SimpleNamespace(
        CUDA_R_32F=0,
        CUDA_R_64F=1,
        CUDA_R_16F=2,
        CUDA_R_8I=3,
        cudaDevAttrL2CacheSize=38,
        hostAllocMapped=2,
        getDeviceCount=ask(lambda: card.count),
        driverGetVersion=lambda: card.driver,
        runtimeGetVersion=lambda: card.runtime,
        deviceSynchronize=ask(lambda: None),
        getDevice=lambda: 0,
        deviceGetAttribute=lambda attribute, index: {38: card.cache}[attribute],
        getDeviceProperties=lambda index: {"name": b"Board", "uuid": card.uuid},
        deviceGetPCIBusId=lambda index: f"0000:0{index}:00.0",
        memGetInfo=lambda: (card.free, 2 * card.free),
    )
    return SimpleNamespace(
        runtime=runtime,
        Device=Device,
        Stream=Stream,
        Event=Event,
        MemoryHook=MemoryHook,
        MemoryPool=MemoryPool,
        PinnedMemory=PinnedMemory,
        using_allocator=using_allocator,
        alloc_pinned_memory=lambda size: bytearray(_rounded(size)),
        get_current_stream=lambda: card.streams[-1] if card.streams else SimpleNamespace(ptr=0),
        get_elapsed_time=lambda start, end: next(card.elapsed_ms),
        device=SimpleNamespace(get_cublas_handle=lambda: 99),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 2)),
    )


def cublas_of(card: Card) -> ModuleType:
    """cuBLAS's product: matrices by columns, sums in the compute type."""
    kinds: dict[int, Any] = {0: np.float32, 1: np.float64, 2: np.float16, 3: np.int8, 10: np.int32}
    computed: dict[int, Any] = {70: (np.float64, ctypes.c_double), 72: (np.int32, ctypes.c_int)}

    def matrix(address: int, kind: int, ld: int, rows: int, columns: int) -> Any:
        assert ld >= rows
        dtype: Any = np.dtype(kinds[kind])
        count = ld * (columns - 1) + rows
        memory: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        flat = np.frombuffer(memory, dtype)
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (dtype.itemsize, ld * dtype.itemsize))

    def operand(address: int, kind: int, ld: int, op: int, rows: int, columns: int) -> Any:
        if op == 0:
            return matrix(address, kind, ld, rows, columns)
        return matrix(address, kind, ld, columns, rows).T

    def gemm_ex(
        handle: int, op_a: int, op_b: int, m: int, n: int, k: int,
        alpha: int, a: int, a_kind: int, lda: int, b: int, b_kind: int, ldb: int,
        beta: int, c: int, c_kind: int, ldc: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        assert (handle, algorithm) == (99, -1)
        wide, scalar = computed.get(compute, (np.float32, ctypes.c_float))
        assert c_kind == (10 if compute == 72 else a_kind)
        assert compute != 72 or lda % 4 == ldb % 4 == 0
        left = operand(a, a_kind, lda, op_a, m, k).astype(wide)
        right = operand(b, b_kind, ldb, op_b, k, n).astype(wide)
        result, factor = matrix(c, c_kind, ldc, m, n), scalar.from_address(beta).value
        before = factor * result.astype(wide) if factor else 0
        result[...] = scalar.from_address(alpha).value * (left @ right) + before
        card.products.append((m, n, k, compute))

    def gemm_strided_batched_ex(
        handle: int, op_a: int, op_b: int, m: int, n: int, k: int,
        alpha: int, a: int, a_kind: int, lda: int, a_step: int, b: int, b_kind: int, ldb: int, b_step: int,
        beta: int, c: int, c_kind: int, ldc: int, c_step: int, batch: int, compute: int, algorithm: int,
    ) -> None:  # fmt: skip
        size = np.dtype(kinds[c_kind]).itemsize
        for index in range(batch):
            gemm_ex(
                handle, op_a, op_b, m, n, k,
                alpha, a + index * a_step * size, a_kind, lda, b + index * b_step * size, b_kind, ldb,
                beta, c + index * c_step * size, c_kind, ldc, compute, algorithm,
            )  # fmt: skip

    module = ModuleType("cupy_backends.cuda.libs.cublas")
    module.__dict__.update(
        CUBLAS_OP_N=0,
        CUBLAS_OP_T=1,
        CUBLAS_GEMM_DEFAULT=-1,
        CUBLAS_COMPUTE_32F=68,
        CUBLAS_COMPUTE_64F=70,
        CUBLAS_COMPUTE_32I=72,
        CUBLAS_COMPUTE_32F_FAST_TF32=77,
        gemmEx=gemm_ex,
        gemmStridedBatchedEx=gemm_strided_batched_ex,
        getVersion=lambda handle: 130100,
    )
    return module


OWN = ("cupy", "cupy_backends", "cudnn", "dlbench.backends.cupy")


def ours(name: str) -> bool:
    return any(name == own or name.startswith(f"{own}.") for own in OWN)


@contextmanager
def in_place_of(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Put the modules where the real ones are imported from, and everything back at the end."""
    import dlbench.backends

    attribute = vars(dlbench.backends).get("cupy")
    before = {name: module for name, module in sys.modules.items() if ours(name)}
    for name in before:
        del sys.modules[name]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)
        vars(dlbench.backends).pop("cupy", None)
        if attribute is not None:
            dlbench.backends.cupy = attribute
