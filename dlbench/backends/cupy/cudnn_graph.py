"""cuDNN through its graph API: how a graph of one operation is built, planned and run."""

from __future__ import annotations

import functools
import importlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cupy

from dlbench.backends.cupy import faults
from dlbench.backends.cupy.programs import Tensor
from dlbench.errors import UnsupportedError
from dlbench.timing.clock import Call

DTYPES = ("float32", "tf32", "float16")
DATA_TYPES = {"float32": "FLOAT", "tf32": "FLOAT", "float16": "HALF"}
ALL_PLANS = "all-plans"

TRIALS = 5
"""Timings of each plan; odd, so that the median is one of them. It chooses a plan and is not a result."""
CALLS = 3
"""Calls in each, and before them as a warm-up: code is loaded at the first."""

Operation = Callable[..., Any]
"""`operation(graph, *tensors) -> tensor`: adds a node of cuDNN's to the graph."""


@functools.cache
def frontend() -> Any:
    """Return the module cudnn, whose library is there.

    Raises UnsupportedError, with the install command, where either is missing.
    """
    try:
        module = importlib.import_module("cudnn")
        module.backend_version()
    except (ImportError, OSError, RuntimeError) as error:
        packages = f"nvidia-cudnn-frontend nvidia-cudnn-cu{faults.cuda_major()}"
        raise UnsupportedError(f"cuDNN cannot be loaded ({error}); pip install {packages}") from error
    return module


@functools.cache
def _handle(device: int) -> Any:  # noqa: ARG001 - a handle belongs to the current device
    return frontend().create_handle()


@dataclass(frozen=True, slots=True)
class Plan:
    """What cuDNN calls a plan, its place in the list, the bytes it needs to work in, and why it cannot be built."""

    name: str
    index: int
    workspace: int = 0
    refusal: str = ""


class Graph:
    """One operation of cuDNN's on given arrays."""

    def __init__(self, dtype: str, operation: Operation, inputs: dict[str, Tensor], output: Tensor) -> None:
        """Describe the operation and ask cuDNN's heuristics for plans, the most promising first.

        Raises UnsupportedError, with cuDNN's reason, where it has none.
        """
        self.cudnn = frontend()
        self.handle = _handle(cupy.cuda.runtime.getDevice())
        self.output = output
        self.arrays = (*inputs.values(), output)  # the pack holds their addresses alone
        try:
            tensors = self._describe(dtype, operation, inputs, output)
            self._plan(dtype)
        except self.declined as error:
            raise UnsupportedError(f"cuDNN has no plan for it: {_first_line(error)}") from error
        self.pack = {tensor: array.data.ptr for tensor, array in zip(tensors, self.arrays, strict=True)}

    def _describe(
        self, dtype: str, operation: Operation, inputs: dict[str, Tensor], output: Tensor
    ) -> tuple[Any, ...]:
        """Make the graph and return its tensors, the result last."""
        kind, wide = getattr(self.cudnn.data_type, DATA_TYPES[dtype]), self.cudnn.data_type.FLOAT
        self.graph = self.cudnn.pygraph(
            io_data_type=kind, intermediate_data_type=wide, compute_data_type=wide, handle=self.handle
        )
        tensors = [
            self.graph.tensor(name=name, dim=list(array.shape), stride=strides(array), data_type=kind)
            for name, array in inputs.items()
        ]
        result = operation(self.graph, *tensors)
        result.set_output(True).set_data_type(kind)
        result.set_dim(list(output.shape)).set_stride(strides(output))
        return (*tensors, result)

    def _plan(self, dtype: str) -> None:
        graph, modes = self.graph, self.cudnn.heur_mode
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([modes.A, modes.FALLBACK])
        if dtype == "float32":
            notes = self.cudnn.numerical_note
            graph.deselect_numeric_notes([notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS])
        graph.check_support()

    def plans(self) -> Iterator[Plan]:
        """Build each plan in turn, in the order of the heuristics."""
        for index in range(self.graph.get_execution_plan_count()):
            name = str(self.graph.get_plan_name_at_index(index))
            try:
                self.graph.build_plan_at_index(index)
                workspace = int(self.graph.get_workspace_size_plan_at_index(index))
            except self.declined as error:
                yield Plan(name, index, refusal=_first_line(error))
            else:
                yield Plan(name, index, workspace)

    @property
    def declined(self) -> tuple[type[Exception], ...]:
        """What cuDNN and its front end raise where they cannot serve a graph, or a plan was deselected."""
        return self.cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError


class PlanCall:
    """A call that runs a plan on cupy's current stream, in a workspace of its own; `details` says which plan."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self._graph, self._index = graph, plan.index
        self._workspace = cupy.empty(plan.workspace, cupy.uint8) if plan.workspace else None
        self._room = 0 if self._workspace is None else self._workspace.data.ptr
        self.details: dict[str, Any] = {"plan": plan.name, "workspace": plan.workspace}

    def __call__(self) -> Tensor:
        """Run the plan; return the output."""
        graph = self._graph
        graph.cudnn.set_stream(handle=graph.handle, stream=cupy.cuda.get_current_stream().ptr)
        graph.graph.execute_plan_at_index(graph.pack, self._room, self._index, graph.handle)
        return graph.output


def best(graph: Graph) -> Call:
    """Return a call of the first plan that can be built: the one that cuDNN's heuristics prefer.

    Raises UnsupportedError, with the reason of each plan, where none can.
    """
    reasons = []
    for plan in graph.plans():
        if not plan.refusal:
            return PlanCall(graph, plan)
        reasons.append(f"{plan.name}: {plan.refusal}")
    raise UnsupportedError(f"cuDNN built none of its {len(reasons)} plans: {'; '.join(reasons)}")


def fastest(graph: Graph) -> Call:
    """Build and time every plan, and return a call of the fastest; its details list them all, the fastest first.

    Plans that cannot be built, or whose workspace does not fit, stand behind with the reason. Raises
    UnsupportedError where that is all of them.
    """
    timed: list[tuple[float, Plan]] = []
    refused: list[dict[str, Any]] = []
    for plan in graph.plans():
        seconds, refusal = (0.0, plan.refusal) if plan.refusal else _tried(graph, plan)
        if refusal:
            refused.append({"plan": plan.name, "reason": refusal})
        else:
            timed.append((seconds, plan))
    if not timed:
        reasons = "; ".join(f"{one['plan']}: {one['reason']}" for one in refused)
        raise UnsupportedError(f"cuDNN ran none of its {len(refused)} plans: {reasons}")
    timed.sort(key=lambda one: (one[0], one[1].index))
    call = PlanCall(graph, timed[0][1])
    ranked = [
        {"plan": plan.name, "time_us": seconds * 1e6, "workspace": plan.workspace} for seconds, plan in timed
    ]
    call.details = {"plans": [*ranked, *refused]}
    return call


def _tried(graph: Graph, plan: Plan) -> tuple[float, str]:
    """Return the plan's seconds, or why it cannot run."""
    try:
        return _seconds(PlanCall(graph, plan)), ""
    except MemoryError:
        return 0.0, f"no room for its {plan.workspace} bytes of workspace"
    except graph.declined as error:
        if faults.is_cuda(error):
            raise
        return 0.0, _first_line(error)


def _seconds(call: Call) -> float:
    """Return the median seconds of a call, after a warm-up, by events on the current stream."""
    stream = cupy.cuda.get_current_stream()
    for _ in range(CALLS):
        call()
    times = []
    for _ in range(TRIALS):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        for _ in range(CALLS):
            call()
        end.record(stream)
        end.synchronize()
        times.append(float(cupy.cuda.get_elapsed_time(start, end)) * 1e-3 / CALLS)
    return statistics.median(times)


def strides(array: Tensor) -> list[int]:
    """Return the array's strides in elements, as cuDNN takes them."""
    return [step // array.itemsize for step in array.strides]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
