"""The JSON Schema of a config, for editors that complete and check YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from dlbench.ops.catalogue import ops
from dlbench.plan.fields import VARIANT

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def describe(config: type[BaseModel], variants: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the schema (draft 2020-12), with the variants that there are and each op's parameters."""
    names = [f"{backend}:{variant}" for backend, some in variants.items() for variant in some]
    schema = _with_variants(config.model_json_schema(by_alias=True), names)
    sweep = schema["$defs"]["Sweep"]
    sweep["properties"]["zip"] = _zip()
    sweep["allOf"] = [_parameters(name, list(op.model_fields)) for name, op in ops().items()]
    return {"$schema": DRAFT, **schema, "title": "dlbench config"}


def _with_variants(node: Any, names: Sequence[str]) -> Any:
    """Return the schema with the names in place of the pattern of a variant."""
    if isinstance(node, list):
        return [_with_variants(inner, names) for inner in node]
    if not isinstance(node, dict):
        return node
    if node.get("pattern") == f"^({VARIANT})$":
        return {"type": "string", "enum": list(names)}
    return {key: _with_variants(inner, names) for key, inner in node.items()}


def _zip() -> dict[str, Any]:
    names = {"type": "array", "items": {"type": "string"}}
    return {"anyOf": [names, {"type": "array", "items": names}]}


def _parameters(op: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the rule that a sweep of this one op takes these parameters."""
    known = {"propertyNames": {"enum": list(names)}}
    return {
        "if": {"properties": {"op": {"enum": [op, [op]]}}, "required": ["op"]},
        "then": {"properties": {"params": known, "problems": {"items": known}}},
    }
