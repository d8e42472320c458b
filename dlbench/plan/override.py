"""`--set key=value`: change a config's data before it is validated."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dlbench.errors import ConfigError, nearest
from dlbench.plan.yaml import Document, KeyPath, parse_value


def override(document: Document, text: str, top: Collection[str], sweep: Collection[str]) -> None:
    """Change the document's data by `key=value`; the value is YAML.

    A key of the config (in `top`) is changed there, any other (in `sweep`) in every sweep; one that both have is
    changed at the top, and no sweep keeps its own. Raises ConfigError that names the override.
    """
    key, equals, value = text.partition("=")
    words = key.strip().split(".")
    where = f"--set {text}"
    if not equals or not all(words):
        raise ConfigError("no key=value, such as dtype=float64 or measure.budget=1m", file=where)
    if words[0] not in top and words[0] not in sweep:
        raise ConfigError("unknown key", file=where, key=words[0], hint=nearest(words[0], {*top, *sweep}))
    parsed = parse_value(value, where)
    for index, one in _sweeps(document):
        if words[0] in top:
            if words[0] in sweep:
                one.pop(words[0], None)
        else:
            _put(document, ("sweeps", index), one, words, parsed, text)
    if words[0] in top:
        _put(document, (), document.data, words, parsed, text)


def _sweeps(document: Document) -> list[tuple[int, dict[str, Any]]]:
    """Return the sweeps that can be changed; what is wrong with the others is said when the config is validated."""
    sweeps = document.data.get("sweeps")
    if not isinstance(sweeps, list):
        return []
    return [(index, one) for index, one in enumerate(sweeps) if isinstance(one, dict)]


def _put(
    document: Document, place: KeyPath, data: dict[str, Any], words: list[str], value: Any, text: str
) -> None:
    for word in words[:-1]:
        if data.get(word) is None:
            data[word] = {}
        if not isinstance(data[word], dict):
            raise ConfigError(f"`{word}` has no keys below it", file=f"--set {text}", key=".".join(words))
        data = data[word]
    data[words[-1]] = value
    document.overrides[(*place, *words)] = text
