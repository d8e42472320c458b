"""What a whole network costs: the sum over its layers, each as often as it occurs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pandas as pd

SHARED = ("suite", "setting", "dtype", "direction", "cache", "data")
"""What the layers of one total have in common."""
IMPLEMENTATION = ("backend", "variant", "layout", "flags", "device")
LAYOUT = IMPLEMENTATION.index("layout")
TYPES: Mapping[str, str] = {
    **dict.fromkeys((*SHARED, *IMPLEMENTATION), "string"),
    **dict.fromkeys(("layers", "problems", "missing"), "Int64"),
    **dict.fromkeys(("time_us", "gflops", "speedup", "whole_us"), "float64"),
}
NETWORK = "network"
"""The op that computes a whole network; its `model` has the name of the suite that holds the network's layers."""
IMAGES = "NCHW"
"""How a whole network's images lie: it has no choice of layouts, where its convolutions have one."""


def totals(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network and implementation.

    `layers` counts the layers that the run asked for, `problems` the distinct ones among them, `missing` the
    distinct ones without a time; with any missing there is no `time_us`, since a sum over a part would pose
    as the whole. `setting` names the parameters that one layer was measured with more than one value of, such
    as "n=8". `speedup` is the baseline's total over this one: on the same device, else on the only one that
    has the baseline. `whole_us` is the time of the network as one call, where this implementation has a row of it
    in the run.
    """
    layers = frame[frame["suite"] != ""]
    layers = layers.assign(
        setting=_settings(layers), identity=layers["layer"].where(layers["layer"] != "", layers["problem"])
    )
    wholes = _wholes(frame[frame["op"] == NETWORK])
    rows = [
        row | {"whole_us": wholes.get((_batch(network), *_place(row)), float("nan"))}
        for shared, network in layers.groupby(list(SHARED), sort=False)
        for row in _network(dict(zip(SHARED, cast(tuple[Any, ...], shared), strict=True)), network)
    ]
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=kind) for name, kind in TYPES.items()}
    )


def _wholes(networks: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Return the times of the networks of their own size, by the batch, the model and what else a total is for."""
    wholes = {}
    for row in networks.to_dict("records"):
        params = json.loads(row["params"])
        if params.get("size") is None and params.get("divisor", 1) == 1:
            place = _place({**row, "suite": params.get("model")})
            wholes[params.get("n"), *place] = float(row["time_us"])
    return wholes


def _place(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return what a total and the network that it is of have in common."""
    settled = {**row, "layout": row["layout"] or IMAGES}
    return tuple(str(settled[name]) for name in (*SHARED, *IMPLEMENTATION) if name != "setting")


def _batch(network: pd.DataFrame) -> int | None:
    """Return the batch that the layers of a network share, None where they have none or several."""
    batches = {json.loads(params).get("n") for params in network["params"]}
    return batches.pop() if len(batches) == 1 else None


def _settings(layers: pd.DataFrame) -> list[str]:
    """Return for each row the parameters, with their values, that vary within a layer of the row's suite."""
    parameters = [json.loads(text) for text in layers["params"]]
    seen: dict[tuple[str, str], dict[str, set[str]]] = {}
    places = list(zip(layers["suite"], layers["layer"], strict=True))
    for place, values in zip(places, parameters, strict=True):
        for name, value in values.items():
            seen.setdefault(place, {}).setdefault(name, set()).add(str(value))
    varying: dict[str, set[str]] = {}
    for (suite, layer), values in seen.items():
        if layer:
            varying.setdefault(suite, set()).update(name for name, found in values.items() if len(found) > 1)
    return [
        " ".join(f"{name}={value}" for name, value in values.items() if name in varying.get(suite, ()))
        for (suite, _), values in zip(places, parameters, strict=True)
    ]


def _network(shared: Mapping[str, Any], network: pd.DataFrame) -> list[dict[str, Any]]:
    wanted = network.groupby("identity")["count"].max()
    groups = _implementations(network)
    summed = {name: _sum(rows, wanted) for name, rows in groups.items()}
    baselines = {
        name: summed[name]["time_us"]
        for name, rows in groups.items()
        if _is_baseline(rows[rows["layout"] == name[LAYOUT]])
    }
    return [
        {
            **shared,
            **dict(zip(IMPLEMENTATION, name, strict=True)),
            **total,
            "speedup": _baseline_time(name, baselines) / total["time_us"],
        }
        for name, total in summed.items()
    ]


def _implementations(network: pd.DataFrame) -> dict[tuple[str, ...], pd.DataFrame]:
    """Return each implementation's rows; those of ops without a choice of layouts are part of the network in every layout."""
    groups = {
        cast(tuple[str, ...], name): rows for name, rows in network.groupby(list(IMPLEMENTATION), sort=False)
    }
    chosen = {_without_layout(name) for name in groups if name[LAYOUT]}
    return {
        name: pd.concat([rows, groups[_without_layout(name)]])
        if name[LAYOUT] and _without_layout(name) in groups
        else rows
        for name, rows in groups.items()
        if name[LAYOUT] or name not in chosen
    }


def _without_layout(name: tuple[str, ...]) -> tuple[str, ...]:
    return *name[:LAYOUT], "", *name[LAYOUT + 1 :]


def _sum(rows: pd.DataFrame, wanted: pd.Series[Any]) -> dict[str, Any]:
    measured = rows[rows["time_us"].notna()]
    missing = len(wanted) - measured["identity"].nunique()
    counts = measured["count"].astype("float64")
    summed = float((counts * measured["time_us"]).sum())
    time = summed if summed and not missing else float("nan")
    # An op without operations has no FLOP/s, and adds none.
    kiloflops = float((counts * measured["time_us"] * measured["gflops"].fillna(0.0)).sum())
    return {
        "layers": int(wanted.sum()),
        "problems": len(wanted),
        "missing": missing,
        "time_us": time,
        "gflops": kiloflops / time if kiloflops else float("nan"),
    }


def _is_baseline(rows: pd.DataFrame) -> bool:
    """Return whether these are the baseline's rows: only its speed-up has an interval without width."""
    return bool((rows["speedup_low"] == rows["speedup_high"]).any())


def _baseline_time(name: tuple[str, ...], baselines: Mapping[tuple[str, ...], float]) -> float:
    device = name[-1]
    same_device = [time for other, time in baselines.items() if other[-1] == device]
    if same_device:
        return same_device[0]
    return next(iter(baselines.values())) if len(baselines) == 1 else float("nan")
