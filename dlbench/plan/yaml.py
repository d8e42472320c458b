"""Read YAML safely, and remember on which line everything stands."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dlbench.errors import ConfigError

MOST_BYTES = 4 * 2**20
"""The largest built-in suite has a hundredth of it; a larger file is a mistake, and would take minutes to parse."""
MOST_NODES = 1_000_000
"""Values after aliases are followed: what `billion laughs` would multiply."""
MOST_DEPTH = 50

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A file's content and the line of each of its keys."""

    file: str
    data: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Return the 1-based line of the key, or of the nearest thing above it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def load_yaml(path: Path) -> Document:
    """Return a YAML file's mapping.

    Raises ConfigError, with the line, for anything but one mapping of sane size in UTF-8.
    """
    file = str(path)
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(
                f"is {size / 2**20:.0f} MiB; a config or suite has at most {MOST_BYTES // 2**20} MiB",
                file=file,
            )
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text (byte {error.start})", file=file) from None
    except IsADirectoryError:
        raise ConfigError("is a directory; name a .yaml file", file=file) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from None
    return parse_yaml(text, file)


def parse_yaml(text: str, file: str) -> Document:
    """Return the mapping that the text holds; see load_yaml."""
    data, lines = _Reader(file).read(text)
    if not isinstance(data, dict):
        what = "is empty" if data is None else f"holds a {_kind(data)} at the top"
        raise ConfigError(f"{what}; a mapping of keys is wanted", file=file, line=1)
    return Document(file, data, lines)


def parse_value(text: str, where: str) -> Any:
    """Return the value that a short YAML text holds, as in `--set key=value`."""
    return _Reader(where).read(text)[0]


def _kind(data: object) -> str:
    return "list" if isinstance(data, list) else "single value"


class _Reader:
    """Composes nodes, checks them, and builds plain values from them."""

    def __init__(self, file: str) -> None:
        self._file = file

    def read(self, text: str) -> tuple[Any, dict[KeyPath, int]]:
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            if node is None:
                return None, {}
            self._check(node)
            lines = dict(self._lines(node, ()))
            return loader.construct_document(node), lines
        except yaml.YAMLError as error:
            raise self._explained(error, text) from None
        except RecursionError:
            raise ConfigError(f"is nested deeper than {MOST_DEPTH} levels", file=self._file) from None
        except (ValueError, TypeError, OverflowError) as error:
            raise ConfigError(f"has a value that cannot be read: {error}", file=self._file) from None
        finally:
            if loader is not None:
                loader.dispose()

    def _check(self, root: yaml.Node) -> None:
        """Refuse depth, alias bombs and duplicate keys, on the graph of nodes: nothing is expanded yet."""
        sizes: dict[int, int] = {}
        path: set[int] = set()

        def size(node: yaml.Node, depth: int) -> int:
            if id(node) in sizes:
                return sizes[id(node)]
            line = node.start_mark.line + 1
            if id(node) in path:
                raise ConfigError("an alias holds itself", file=self._file, line=line)
            if depth > MOST_DEPTH:
                raise ConfigError(f"nested deeper than {MOST_DEPTH} levels", file=self._file, line=line)
            path.add(id(node))
            total = 1 + sum(size(child, depth + 1) for child in self._children(node))
            path.discard(id(node))
            if total > MOST_NODES:
                raise ConfigError(
                    f"aliases multiply to more than {MOST_NODES:,} values", file=self._file, line=line
                )
            sizes[id(node)] = total
            return total

        size(root, 0)

    def _children(self, node: yaml.Node) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        elif isinstance(node, yaml.MappingNode):
            seen: dict[Hashable, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError("a key must be a single word", file=self._file, line=line)
                if key.value in seen and key.value != "<<":
                    first = f"it stands already on line {seen[key.value]}"
                    raise ConfigError("duplicate key", file=self._file, line=line, key=key.value, hint=first)
                seen[key.value] = line
                yield value

    def _lines(self, node: yaml.Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        if len(path) > 6:  # deeper keys are reported on the line of what holds them
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield (*path, key.value), key.start_mark.line + 1
                yield from self._lines(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                yield (*path, index), value.start_mark.line + 1
                yield from self._lines(value, (*path, index))

    def _explained(self, error: yaml.YAMLError, text: str) -> ConfigError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = 0 if mark is None else mark.line + 1
        lines = text.splitlines()
        indent = (
            lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
            if 0 < line <= len(lines)
            else ""
        )
        if "\t" in indent or "'\\t'" in str(error):
            return ConfigError("a tab; YAML is indented with spaces", file=self._file, line=line)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        return ConfigError(f"not YAML: {problem}", file=self._file, line=line)
