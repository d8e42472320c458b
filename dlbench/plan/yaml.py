"""YAML read safely: plain data from bounded input, and the line of every key.

The parser's events are put together here and not by a loader's constructors, so that no tag makes an object, every bound is
checked before data is built, and words mean what YAML 1.2 says: only `true` and `false` are booleans (`on`, `yes` and `n`
are texts) and `1:30` is no number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dlbench.errors import ConfigError

MOST_BYTES = 4 * 2**20
"""A suite of 10,000 problems is about 1 MB; libyaml reads 4 MiB in about a second."""
MOST_NODES = 500_000
"""Values and keys after aliases are expanded: room for 10,000 problems of 20 parameters."""
MOST_DEPTH = 40
"""A config nests five levels deep; this keeps recursion far from Python's limit."""

KeyPath = tuple[str | int, ...]

_Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class Node:
    """A value with the line it stands on; `size` and `depth` count what is below it, aliases expanded."""

    line: int
    scalar: str | int | float | bool | None = None
    items: list[Node] | None = None
    keys: dict[str, tuple[int, Node]] | None = None
    size: int = 1
    depth: int = 1

    def data(self) -> Any:
        """Return the plain data: new lists and dicts, nothing shared."""
        if self.keys is not None:
            return {key: node.data() for key, (_, node) in self.keys.items()}
        if self.items is not None:
            return [node.data() for node in self.items]
        return self.scalar


@dataclass(frozen=True)
class Document:
    """A file's content, and the line of each of its keys.

    `overrides` holds the paths that `--set key=value` replaced, with the words that did it.
    """

    file: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    root: Node | None = None
    overrides: dict[KeyPath, str] = field(default_factory=dict)

    def holds(self, path: KeyPath) -> bool:
        """Return whether there is something at the path, be it written in the file or given by an override."""
        node: Any = self.data
        for part in path:
            inside = (
                part in node
                if isinstance(node, dict)
                else isinstance(node, list) and part in range(len(node))
            )
            if not inside:
                return False
            node = node[part]
        return True

    def place(self, path: KeyPath) -> tuple[str, int]:
        """Return file and line of the key at the path, or of the nearest one above it that is written down."""
        override = self._override(path)
        return (self.file, self._line(path)) if override is None else (f"--set {override}", 0)

    def error(self, path: KeyPath, problem: str, hint: str = "") -> ConfigError:
        """Return the error that names file, line and key."""
        file, line = self.place(path)
        return ConfigError(problem, file=file, line=line, key=dotted(path), hint=hint)

    def _override(self, path: KeyPath) -> str | None:
        ends = range(len(path), 0, -1)
        return next((self.overrides[path[:end]] for end in ends if path[:end] in self.overrides), None)

    def _line(self, path: KeyPath) -> int:
        line, node = (self.root.line if self.root else 0), self.root
        for part in path:
            found = _step(node, part)
            if found is None:
                break
            line, node = found
        return line


def _step(node: Node | None, part: str | int) -> tuple[int, Node] | None:
    if node is None:
        return None
    if node.keys is not None:
        return node.keys.get(str(part))
    if node.items is not None and isinstance(part, int) and part < len(node.items):
        return node.items[part].line, node.items[part]
    return None


def dotted(path: KeyPath) -> str:
    """Return "sweeps[0].params.m"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def load_yaml(path: Path) -> Document:
    """Return a YAML file's mapping.

    Raises ConfigError, with the line, for a file that cannot be read and for anything but one mapping of sane size in UTF-8.
    """
    file = str(path)
    return parse_yaml(_decoded(_bytes(path), file), file)


def parse_yaml(text: str, file: str) -> Document:
    """Return the mapping that the text holds; see load_yaml."""
    root = _parse(text, file)
    if root is None:
        raise ConfigError("is empty; keys with values are wanted", file=file)
    if root.keys is None:
        kind = "a list" if root.items is not None else "a single value"
        raise ConfigError(f"holds {kind}; keys with values are wanted", file=file, line=root.line)
    return Document(file, root.data(), root)


def parse_value(text: str, where: str) -> Any:
    """Return the value that a short YAML text holds, as in `--set key=value`; `where` names it in an error."""
    try:
        root = _parse(text, where)
    except ConfigError as error:  # a line of so short a text says nothing
        raise ConfigError(error.problem, file=where, key=error.key) from None
    return None if root is None else root.data()


def _bytes(path: Path) -> bytes:
    file = str(path)
    try:
        if path.is_dir():
            raise ConfigError("this is a directory; a YAML file is wanted", file=file)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(_too_large(f"{size / 2**20:.0f} MiB"), file=file)
        with path.open("rb") as stream:  # a pipe or device has no size of its own
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if isinstance(error, FileNotFoundError):
            raise ConfigError("no such file", file=file) from None
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot be read: {reason}", file=file) from None
    if len(content) > MOST_BYTES:
        raise ConfigError(_too_large(f"more than {MOST_BYTES // 2**20} MiB"), file=file)
    return content


def _too_large(size: str) -> str:
    return f"the file is too large: {size}, and {MOST_BYTES // 2**20} MiB are the most"


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"not UTF-8: byte 0x{content[error.start]:02x}", file=file, line=line) from None


def _parse(text: str, file: str) -> Node | None:
    """Return the top node of one YAML document, None when there is none."""
    try:
        text.encode()
        return _Composer(yaml.parse(text, Loader=_Loader), file).document()
    except UnicodeEncodeError:
        raise ConfigError("not UTF-8", file=file) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError("a control character; YAML is plain text", file=file, line=line) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    except ValueError as error:  # PyYAML converts \U escapes and version numbers without a check of its own
        raise ConfigError(f"not valid YAML: {error}", file=file) from None


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    row = mark.line if mark else 0
    lines = text.split("\n")
    written = lines[row] if row < len(lines) else ""
    if mark and (
        "\t" in written[: len(written) - len(written.lstrip())]
        or written[mark.column : mark.column + 1] == "\t"
    ):
        return ConfigError("a tab; YAML is indented with spaces", file=file, line=row + 1)
    problem = " ".join(part for part in (error.problem, error.context) if part)
    return ConfigError(f"not valid YAML: {problem}", file=file, line=row + 1)


class _Composer:
    """Builds nodes from events. It refuses duplicate keys, tags, and aliases that expand without bound."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self._events = events
        self._file = file
        self._anchors: dict[str, Node | None] = {}
        self._nodes = 0

    def document(self) -> Node | None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 1)
        next(self._events)  # the end of the document
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            raise self._error(after, "a second document begins here; one file holds one")
        empty = root.keys is None and root.items is None and root.scalar is None
        return None if empty else root

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise self._error(event, f"nested more than {MOST_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            raise self._error(event, f"the tag `{event.tag}` is not allowed; write plain values")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = Node(event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            node.scalar = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._sequence(node, event, depth)
        else:
            self._mapping(node, event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise self._error(event, f"the alias `*{event.anchor}` refers to nothing above it")
        target = self._anchors[event.anchor]
        if target is None:
            raise self._error(event, f"the alias `*{event.anchor}` stands inside what it refers to")
        return target

    def _sequence(self, node: Node, start: Any, depth: int) -> None:
        node.items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            child = self._node(event, depth + 1)
            node.items.append(child)
            self._grow(node, child, start)

    def _mapping(self, node: Node, start: Any, depth: int) -> None:
        node.keys = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, node.keys)
            child = self._node(next(self._events), depth + 1)
            node.keys[key] = (event.start_mark.line + 1, child)
            self._grow(node, child, start)

    def _key(self, event: Any, known: dict[str, tuple[int, Node]]) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
            raise self._error(event, "a key must be a plain word")
        key = str(event.value)
        if key in known:
            raise self._error(event, f"duplicate key; it is also on line {known[key][0]}", key)
        if key == "<<":
            raise self._error(event, "merge keys are not supported; write the keys out", key)
        return key

    def _grow(self, node: Node, child: Node, start: Any) -> None:
        node.size += child.size + 1
        node.depth = max(node.depth, child.depth + 1)
        if node.size > MOST_NODES:
            raise self._error(start, f"more than {MOST_NODES:,} values once its aliases are expanded")
        if node.depth > MOST_DEPTH:
            raise self._error(start, f"nested more than {MOST_DEPTH} levels deep")

    def _scalar(self, event: Any) -> str | int | float | bool | None:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            try:
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            except ValueError:  # Python converts at most 4300 digits
                raise self._error(event, "a number of more than 4300 digits") from None
        if _FLOAT.fullmatch(text):
            return float(re.sub(r"\.(?=[inIN])", "", text))
        return text

    def _error(self, event: Any, problem: str, key: str = "") -> ConfigError:
        return ConfigError(problem, file=self._file, line=event.start_mark.line + 1, key=key)
