"""The Backend: a framework that can compute, and the decorator that says how."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, TypeVar

from dlbench.errors import BackendMissingError, UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call, Clock, HostClock

Tensor = Any
Prepare = Callable[..., Call]
"""`prepare(problem, *tensors) -> Call`: tensors in the order of `op.inputs`; nothing here is timed."""
F = TypeVar("F", bound=Prepare)

_MARK = "__dlbench_implementations__"
OWN_BACKEND = "torch"
"""The backend of an implementation in a file of the user's own that names none."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What is known of a backend without importing its framework.

    `module` is imported only when the backend is used, and holds a class `factory`. `variants` maps each
    variant's name to one line that says what it is.
    """

    name: str
    module: str
    factory: str
    requires: str
    install: str
    variants: Mapping[str, str]

    def load(self) -> type[Backend]:
        """Import the framework and return the backend's class.

        Raises BackendMissingError, with the install command, when the framework cannot be imported.
        """
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            raise BackendMissingError(
                f"{self.requires} cannot be imported ({error}); {self.install}"
            ) from error
        factory: type[Backend] = getattr(module, self.factory)
        return factory


class Identity(NamedTuple):
    """By what a driver's management library knows a device: `GPU-…`, or the PCI address; empty where unknown."""

    uuid: str = ""
    pci: str = ""


@dataclass(frozen=True, slots=True)
class Implementation:
    """One cell of the catalogue: how a variant computes an op."""

    op: str
    variant: str
    directions: tuple[Direction, ...]
    dtypes: tuple[str, ...]
    prepare: Prepare
    layouts: tuple[str, ...] = ()
    mode: str = ""
    uncompiled: str = ""
    """Why a compiler cannot make anything of it; empty where it can."""
    backend: str = OWN_BACKEND
    """Whose tensors it takes where it stands in a file of the user's own; a backend's own modules are its own."""

    def refusal(self, problem: Problem, layout: str = "") -> str:
        """Return why this implementation cannot take the problem in that layout, or the empty string."""
        if layout and layout not in self.layouts:
            return f"no layout {layout}"
        if problem.dtype not in self.dtypes:
            return f"no {problem.dtype}: computes {', '.join(self.dtypes)}"
        if problem.direction not in self.directions:
            return f"no direction {problem.direction}: computes {', '.join(self.directions)}"
        return ""


def implements(
    op: str,
    *,
    variant: str,
    directions: tuple[Direction, ...] = ("forward",),
    dtypes: tuple[str, ...] = ("float32", "float64"),
    layouts: tuple[str, ...] = (),
    mode: str = "",
    uncompiled: str = "",
    backend: str = OWN_BACKEND,
) -> Callable[[F], F]:
    """Mark `prepare(problem, *tensors) -> Call` as a variant's way to compute an op.

    The mark stays on the function; a backend collects its own modules' functions: there is no global table. In a file of
    the user's own, which a config names under `import`, `backend` says whose tensors it takes.
    The prepared call must compute everything anew each time it is called. It may raise UnsupportedError
    while it prepares, with a reason. `layouts` are those it takes besides the op's own; `mode` is what a sweep's `mode`
    names. `uncompiled` says why a compiler cannot make anything of what it calls. The call may have an attribute
    `details`, a mapping of JSON-able values that is kept with the measurement (the algorithm chosen, its workspace in
    bytes). Raises TypeError where a text stands for a tuple of them.
    """
    given: dict[str, object] = {"directions": directions, "dtypes": dtypes, "layouts": layouts}
    for name, words in given.items():
        if isinstance(words, str):
            raise TypeError(f'{name} is a tuple of names: write {name}=("{words}",)')

    def mark(prepare: F) -> F:
        marks = (
            *getattr(prepare, _MARK, ()),
            Implementation(op, variant, directions, dtypes, prepare, layouts, mode, uncompiled, backend),
        )
        setattr(prepare, _MARK, marks)
        return prepare

    return mark


def tensors_of(backend: Backend, problem: Problem, inputs: Mapping[str, Array]) -> list[Tensor]:
    """Return new tensors of a problem's inputs, each in its format, in the order in which an implementation takes them."""
    formats = problem.op.formats(problem.direction)
    return [backend.tensor(values, formats.get(name, problem.dtype)) for name, values in inputs.items()]


def collect(*modules: ModuleType) -> tuple[Implementation, ...]:
    """Return the implementations marked in the modules, in the order in which they stand there."""
    return tuple(
        implementation
        for module in modules
        for member in vars(module).values()
        if getattr(member, "__module__", None) == module.__name__
        for implementation in getattr(member, _MARK, ())
    )


class Backend(ABC):
    """A framework on one device in one process. It owns tensors, flags and its clock."""

    spec: ClassVar[BackendSpec]

    def __init__(self, device: str, threads: int) -> None:
        """Take the device and at most so many threads of the host."""
        self.device = device
        self.threads = threads

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the devices that this backend can compute on here."""
        return ("cpu",)

    @classmethod
    def why_not(cls, device: str) -> str:
        """Return why this backend cannot compute on a device that `devices` lacks, and what to do about it."""
        return f"{cls.spec.name} computes on {', '.join(cls.devices())} here, not on {device}"

    @classmethod
    @abstractmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation this backend has."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the versions and flags that change speed, by name."""

    @abstractmethod
    def tensor(self, values: Array, dtype: str) -> Tensor:
        """Return the values on the device in the dtype, contiguous."""

    @abstractmethod
    def host(self, tensor: Tensor) -> Array:
        """Return the tensor's values as a float64 array of the same shape."""

    @abstractmethod
    def dtype(self, tensor: Tensor) -> str:
        """Return the name of the tensor's dtype."""

    @abstractmethod
    def poison(self, tensor: Tensor) -> None:
        """Fill the tensor in place with NaN, so that an answer left over from before cannot pass.

        Integers are set to the smallest there is, masks to true.
        """

    def clock(self) -> Clock:
        """Return the stopwatch for this device."""
        return HostClock()

    @classmethod
    def clock_for(cls, tensor: Tensor) -> Clock:  # noqa: ARG003 - the host's clock is right for any tensor on a CPU
        """Return the stopwatch for work on the device of one of this framework's tensors."""
        return HostClock()

    @classmethod
    def count_flops(cls, call: Call) -> int | None:  # noqa: ARG003 - a framework without a counter makes no call
        """Return the operations of one call, made once for that; None where the framework cannot count them.

        It never raises an error: what cannot be counted is not known.
        """
        return None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the error says that memory ran out."""
        return isinstance(error, MemoryError)

    def is_fatal(self, error: Exception) -> bool:  # noqa: ARG002 - on a processor an error harms nothing else
        """Return whether the error leaves this process unable to compute, as a lost or poisoned device does."""
        return False

    def identity(self) -> Identity | None:
        """Return by what the accelerator is known to its driver's management library, None for a processor."""
        return None

    def free_memory(self) -> int | None:
        """Return the accelerator's free bytes; None where the tensors are in the host's memory, or it does not tell."""
        return None

    def peak_of(self, work: Callable[[], object]) -> int | None:
        """Run the work; return how many bytes more than before it held at most on the accelerator, None if unknown.

        A backend on the processor is not asked.
        """
        work()
        return None

    def kernel_seconds(self, call: Call, calls: int) -> float | None:  # noqa: ARG002 - for overriding
        """Return the seconds that the framework's profiler sees in kernels of so many calls; None where it has none."""
        return None

    def release(self) -> None:  # noqa: B027 - nothing to do where nothing is kept
        """Give back what is kept of freed memory, so that the next case finds it."""

    def laid_out(self, tensor: Tensor, layout: str) -> Tensor:  # noqa: ARG002 - for overriding
        """Return the same values with the axes in memory as the layout says (`NHWC`); the shape stays the same.

        Raises UnsupportedError where this backend cannot.
        """
        raise UnsupportedError(f"{self.spec.name} has no layout {layout}")

    @contextmanager
    def activate(
        self,
        variant: str,  # noqa: ARG002 - a backend without flags needs none of them
        *,
        dtype: str = "float32",  # noqa: ARG002
        flags: tuple[str, ...] = (),  # noqa: ARG002
    ) -> Iterator[None]:
        """Set what the variant, the dtype (`tf32`) and the flags (`cudnn.benchmark`) need; restore it at the end."""
        yield

    @classmethod
    def find(
        cls,
        problem: Problem,
        variant: str,
        *,
        layout: str = "",
        mode: str = "",
        among: Sequence[Implementation] | None = None,
    ) -> Implementation:
        """Return the implementation for the problem in that layout (empty: the op's own) and mode (empty: none).

        `among` are those to choose from: the backend's own unless others are given. Raises UnsupportedError with the
        reason when there is none.
        """
        name = cls.spec.name
        known = cls.implementations() if among is None else among
        mine = [one for one in known if (one.op, one.variant) == (problem.op.name, variant)]
        if not mine:
            have = sorted({one.variant for one in known if one.op == problem.op.name})
            also = f"it has {', '.join(have)}" if have else "it has no variant of this op"
            raise UnsupportedError(f"{name} does not compute {problem.op.name} as `{variant}`; {also}")
        in_mode = [one for one in mine if one.mode == mode]
        if not in_mode:
            raise UnsupportedError(f"{name}:{variant} has no mode {mode}")
        mine = in_mode
        refusals = [one.refusal(problem, layout) for one in mine]
        for one, refusal in zip(mine, refusals, strict=True):
            if not refusal:
                return one
        raise UnsupportedError(f"{name}:{variant} has {refusals[0]}")
