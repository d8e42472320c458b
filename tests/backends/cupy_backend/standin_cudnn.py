"""A stand-in for cuDNN's front end: it writes down the graph, and computes it with numpy from the addresses it is given."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d

ITEMS: dict[str, Any] = {"FLOAT": np.float32, "HALF": np.float16}


class NotSupportedError(Exception):
    pass


@dataclass
class PlanOf:
    """A plan that the simulated heuristics propose."""

    name: str
    workspace: int = 0
    refusal: Exception | None = None


@dataclass(eq=False)
class Described:
    name: str
    dim: list[int] = field(default_factory=list)
    stride: list[int] = field(default_factory=list)
    data_type: str = ""
    output: bool = False

    def set_output(self, value: bool) -> Described:
        self.output = value
        return self

    def set_data_type(self, kind: str) -> Described:
        self.data_type = kind
        return self

    def set_dim(self, dim: list[int]) -> Described:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> Described:
        self.stride = stride
        return self

    def array(self, address: int) -> np.ndarray[Any, Any]:
        """Return the memory at the address as it was described."""
        dtype = np.dtype(ITEMS[self.data_type])
        count = 1 + sum((extent - 1) * step for extent, step in zip(self.dim, self.stride, strict=True))
        flat = np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype)
        return np.lib.stride_tricks.as_strided(
            flat, self.dim, [step * dtype.itemsize for step in self.stride]
        )


class Library:
    """What the tests set and see of the simulated cuDNN."""

    def __init__(self) -> None:
        self.plans = [PlanOf("eng0", 64)]
        self.graphs: list[Any] = []
        self.streams: list[int] = []
        self.ran: list[tuple[str, int]] = []
        self.decline: Exception | None = None
        self.missing: Exception | None = None

    def version(self) -> int:
        if self.missing is not None:
            raise self.missing
        return 91200

    def module(self) -> ModuleType:
        module = ModuleType("cudnn")
        module.__dict__.update(
            __version__="1.32.0",
            backend_version=self.version,
            cudnnGraphNotSupportedError=NotSupportedError,
            create_handle=lambda: "handle",
            set_stream=self.set_stream,
            pygraph=lambda **given: Pygraph(self, **given),
            data_type=SimpleNamespace(FLOAT="FLOAT", HALF="HALF"),
            heur_mode=SimpleNamespace(A="A", FALLBACK="FALLBACK"),
            numerical_note=SimpleNamespace(
                TENSOR_CORE="TENSOR_CORE", DOWN_CONVERT_INPUTS="DOWN_CONVERT_INPUTS"
            ),
        )
        return module

    def set_stream(self, handle: str, stream: int) -> None:
        assert handle == "handle"
        self.streams.append(stream)


class Pygraph:
    def __init__(self, library: Library, **given: Any) -> None:
        assert given.pop("handle") == "handle"
        self.types = given
        self.library = library
        self.inputs: list[Described] = []
        self.node: tuple[str, dict[str, Any], Described] | None = None
        self.deselected: list[str] = []
        self.steps: list[str] = []
        self.built: set[int] = set()
        library.graphs.append(self)

    def tensor(self, *, name: str, dim: list[int], stride: list[int], data_type: str) -> Described:
        self.inputs.append(Described(name, dim, stride, data_type))
        return self.inputs[-1]

    def _node(self, kind: str, given: dict[str, Any]) -> Described:
        result = Described("result")
        self.node = kind, given, result
        return result

    def conv_fprop(self, **given: Any) -> Described:
        return self._node("forward", given)

    def conv_dgrad(self, **given: Any) -> Described:
        return self._node("backward_data", given)

    def conv_wgrad(self, **given: Any) -> Described:
        return self._node("backward_weight", given)

    def matmul(self, **given: Any) -> Described:
        return self._node("matmul", given)

    def sdpa(self, **given: Any) -> tuple[Described, None]:
        assert given.pop("is_inference") is True
        return self._node("sdpa", given), None

    def validate(self) -> None:
        assert self.node is not None
        assert self.node[2].output
        self.steps.append("validate")

    def build_operation_graph(self) -> None:
        self.steps.append("build_operation_graph")

    def create_execution_plans(self, modes: list[str]) -> None:
        if self.library.decline is not None:
            raise self.library.decline
        self.steps.append(f"plans {'+'.join(modes)}")

    def deselect_numeric_notes(self, notes: list[str]) -> None:
        assert self.steps[-1].startswith("plans")  # before there are plans nothing is deselected
        self.deselected += notes

    def check_support(self) -> None:
        self.steps.append("check_support")

    def get_execution_plan_count(self) -> int:
        return len(self.library.plans)

    def get_plan_name_at_index(self, index: int) -> str:
        return self.library.plans[index].name

    def build_plan_at_index(self, index: int) -> None:
        assert self.steps[-1] == "check_support"
        refusal = self.library.plans[index].refusal
        if refusal is not None:
            raise refusal
        self.built.add(index)

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return self.library.plans[index].workspace

    def execute_plan_at_index(
        self, pack: dict[Described, int], workspace: int, index: int, handle: str
    ) -> None:
        assert index in self.built
        assert handle == "handle"
        plan = self.library.plans[index]
        assert bool(workspace) == bool(plan.workspace)
        self.library.ran.append((plan.name, self.library.streams[-1]))
        assert self.node is not None
        kind, given, result = self.node
        given = {name: self._value(one, pack) for name, one in given.items()}
        result.array(pack[result])[...] = _computed(kind, given, result.dim)

    @staticmethod
    def _value(one: Any, pack: dict[Described, int]) -> Any:
        return one.array(pack[one]).astype(np.float64) if isinstance(one, Described) else one


def _computed(kind: str, given: dict[str, Any], dim: list[int]) -> Any:
    if kind == "matmul":
        return given["A"] @ given["B"]
    if kind == "sdpa":
        return _attended(**given)
    assert given["pre_padding"] == given["post_padding"]
    x_shape = dim if kind == "backward_data" else given["image"].shape
    w_shape = (
        dim if kind == "backward_weight" else given["filter" if kind == "backward_data" else "weight"].shape
    )
    op = Conv2d(
        **{name: int(extent) for name, extent in zip("nchw", x_shape, strict=True)},
        k=int(w_shape[0]),
        r=int(w_shape[2]),
        s=int(w_shape[3]),
        stride=given["stride"][0],
        stride_w=given["stride"][1],
        pad=given["pre_padding"][0],
        pad_w=given["pre_padding"][1],
        dilation=given["dilation"][0],
        groups=int(x_shape[1] // w_shape[1]),
    )
    names = {
        "forward": ("image", "weight"),
        "backward_data": ("loss", "filter"),
        "backward_weight": ("image", "loss"),
    }
    inputs = dict(zip(op.inputs(kind), (given[name] for name in names[kind]), strict=True))  # type: ignore[arg-type]
    (values,) = op.reference(kind, inputs).values()  # type: ignore[arg-type]
    return values


def _attended(q: Any, k: Any, v: Any, attn_scale: float, use_causal_mask: bool) -> Any:
    batch, heads, seq_q, dim = q.shape
    op = Attention(
        batch=batch,
        heads=heads,
        kv_heads=k.shape[1],
        seq_q=seq_q,
        seq_k=k.shape[2],
        dim=dim,
        causal=use_causal_mask,
    )
    assert math.isclose(attn_scale, op.scale)
    return op.reference("forward", {"q": q, "k": k, "v": v})["o"]
