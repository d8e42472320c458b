"""What a whole network takes: its layers' times, weighted by how often each occurs."""

from __future__ import annotations

import pandas as pd

KEYS = ["suite", "dtype", "direction", "cache", "data", "backend", "variant", "device"]


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per suite and variant: layers, missing layers, total time in µs, GFLOP/s and speed-up.

    A total is given only when every layer has a time: a sum over a part must not pose as the whole. The speed-up is
    over the variant whose layers' speed-ups are all 1, the baseline.
    """
    networks = table[table["suite"] != ""]
    rows = [_total(dict(zip(KEYS, key, strict=True)), group) for key, group in networks.groupby(KEYS, sort=False)]
    found = pd.DataFrame(rows, columns=[*KEYS, "layers", "missing", "time_us", "gflops", "is_baseline"])
    found["speedup"] = [_over_baseline(found, row) for _, row in found.iterrows()]
    return found.drop(columns="is_baseline")


def _total(key: dict[str, object], group: pd.DataFrame) -> dict[str, object]:
    missing = int(group["time_us"].isna().sum())
    count = group["count"].astype("float64")
    whole = missing == 0
    time = float((group["time_us"] * count).sum()) if whole else None
    operations = float((group["gflops"] * group["time_us"] * count).sum()) if whole else None
    return key | {
        "layers": int(group["count"].sum()),
        "missing": missing,
        "time_us": time,
        "gflops": operations / time if time and operations is not None else None,
        "is_baseline": whole and bool((group["speedup"] == 1.0).all()),
    }


def _over_baseline(found: pd.DataFrame, row: pd.Series) -> float | None:  # type: ignore[type-arg]  # a row of mixed types
    base = found[found["is_baseline"]]
    for name in ("suite", "dtype", "direction", "cache", "data"):
        base = base[base[name] == row[name]]
    if len(base) != 1 or pd.isna(row["time_us"]):
        return None
    return float(base["time_us"].iloc[0]) / float(row["time_us"])
