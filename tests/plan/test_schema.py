"""The JSON Schema accepts what the loader accepts. The small validator below knows every keyword that the schema uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from dlbench.api import variants
from dlbench.ops.catalogue import ops
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.config import Config, Sweep, json_schema

KNOWN = variants()
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
SILENT = {
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$defs",
    "properties",
    "then",
    "additionalProperties",
}


def is_of(value: object, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    def holds(word: str, rule: Any) -> bool:
        if word == "if":
            return not valid(value, rule, root) or valid(value, schema["then"], root)
        return RULES[word](value, rule, lambda one, part: valid(one, part, root), root)

    return all(holds(word, rule) for word, rule in schema.items() if word not in SILENT) and inside(
        value, schema, root
    )


def inside(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    rules = [(inner, known.get(key, other)) for key, inner in value.items()]
    return all(rule is True or (rule is not False and valid(inner, rule, root)) for inner, rule in rules)


Rule = Callable[[Any, Any, Callable[[Any, Any], bool], dict[str, Any]], bool]
RULES: dict[str, Rule] = {
    "$ref": lambda value, rule, ok, root: ok(value, root["$defs"][rule.rpartition("/")[2]]),
    "type": lambda value, rule, ok, root: is_of(value, rule),
    "enum": lambda value, rule, ok, root: value in rule,
    "anyOf": lambda value, rule, ok, root: any(ok(value, one) for one in rule),
    "oneOf": lambda value, rule, ok, root: sum(ok(value, one) for one in rule) == 1,
    "allOf": lambda value, rule, ok, root: all(ok(value, one) for one in rule),
    "items": lambda value, rule, ok, root: not isinstance(value, list) or all(ok(one, rule) for one in value),
    "minItems": lambda value, rule, ok, root: not isinstance(value, list) or len(value) >= rule,
    "required": lambda value, rule, ok, root: not isinstance(value, dict) or set(rule) <= set(value),
    "propertyNames": lambda value, rule, ok, root: (
        not isinstance(value, dict) or all(ok(one, rule) for one in value)
    ),
    "pattern": lambda value, rule, ok, root: not isinstance(value, str) or re.search(rule, value) is not None,
    "minimum": lambda value, rule, ok, root: not is_of(value, "number") or value >= rule,
    "maximum": lambda value, rule, ok, root: not is_of(value, "number") or value <= rule,
    "exclusiveMinimum": lambda value, rule, ok, root: not is_of(value, "number") or value > rule,
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(KNOWN)


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_a_built_in_config_is_valid(schema: dict[str, Any], name: str) -> None:
    assert valid(yaml.safe_load(builtin_path("configs", name).read_text(encoding="utf-8")), schema, schema)


SWEEP: dict[str, Any] = {
    "op": "matmul",
    "params": {"m": 1, "n": [2, 3], "k": {"from": 1, "to": 8, "factor": 2}},
}
GOOD: list[dict[str, Any]] = [
    {},
    {"measure": {"budget": "3m", "precision": 0.02, "rounds": {"min": 2}}},
    {"measure": {"budget": None}},
    {"devices": "cuda:0"},
    {"devices": ["cpu", "all"]},
    {"variants": "numba:naive"},
    {"sweeps": [SWEEP | {"zip": ["m", "n"], "dtype": "float64", "cache": ["hot", "cold"]}]},
    {"sweeps": [SWEEP | {"zip": [["m", "n"]]}]},
    {"sweeps": [{"op": ["softmax", "log_softmax"], "params": {"rows": 1, "cols": 2}}]},
    {"sweeps": [{"op": "conv2d", "suite": "resnet50", "where": {"layer": "res2*", "c": [64, 128]}}]},
    {"sweeps": [{"op": "matmul", "problems": [{"m": 1, "n": 2, "k": 3, "trans_a": True}]}]},
]
BAD: list[dict[str, Any]] = [
    {"sede": 1},
    {"seed": "x"},
    {"threads": 0},
    {"devices": "tpu"},
    {"variants": "torch:fast"},
    {"variants": []},
    {"measure": {"budgt": "3m"}},
    {"measure": {"budget": -1}},
    {"measure": {"rounds": {"min": 0}}},
    {"sweeps": [SWEEP | {"dtype": "float33"}]},
    {"sweeps": [SWEEP | {"direction": ["forwards"]}]},
    {"sweeps": [SWEEP | {"op": "matmull"}]},
    {"sweeps": [SWEEP | {"params": {"m": 1, "q": 2}}]},
    {"sweeps": [SWEEP | {"params": {"m": {"from": 1, "too": 2}}}]},
    {"sweeps": [SWEEP | {"params": {"m": [[1]]}}]},
    {"sweeps": [{"op": "matmul", "problems": [{"mm": 1}]}]},
    {"sweeps": [{"params": {"n": 1}}]},
]


@pytest.mark.parametrize("change", GOOD, ids=range(len(GOOD)))
def test_each_form_is_valid(schema: dict[str, Any], change: dict[str, Any]) -> None:
    assert valid({"variants": ["torch:library"], "sweeps": [SWEEP]} | change, schema, schema)


@pytest.mark.parametrize("change", BAD, ids=range(len(BAD)))
def test_each_mistake_is_invalid(schema: dict[str, Any], change: dict[str, Any]) -> None:
    assert not valid({"variants": ["torch:library"], "sweeps": [SWEEP]} | change, schema, schema)


def test_it_is_json_and_names_its_draft(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_editor_finds_every_key_op_and_variant(schema: dict[str, Any]) -> None:
    sweep = schema["$defs"]["Sweep"]["properties"]
    assert list(schema["properties"]) == [info.alias or name for name, info in Config.model_fields.items()]
    assert list(sweep) == list(Sweep.model_fields)
    assert sweep["op"]["anyOf"][0]["enum"] == list(ops())
    assert schema["properties"]["baseline"]["anyOf"][0]["enum"] == [
        f"{b}:{v}" for b, some in KNOWN.items() for v in some
    ]
