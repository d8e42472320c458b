"""YAML is read safely: each mistake has one message with its line, and words mean what YAML 1.2 says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.errors import ConfigError
from dlbench.plan import yaml as reader
from dlbench.plan.yaml import MOST_BYTES, MOST_DEPTH, load_yaml, parse_value, parse_yaml

LAUGHS = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)
BAD = {
    "a: 1\nb: 2\na: 3": "f:3: a: duplicate key; it is also on line 1",
    "a:\n\t- b": "f:2: a tab; YAML is indented with spaces",
    "a: 1\n\tb: 2": "f:2: a tab; YAML is indented with spaces",
    "a: !!python/object/apply:os.system [x]": (
        "f:1: the tag `tag:yaml.org,2002:python/object/apply:os.system` is not allowed; write plain values"
    ),
    "a: !!int 3": "f:1: the tag `tag:yaml.org,2002:int` is not allowed; write plain values",
    "a: &a [*a]": "f:1: the alias `*a` stands inside what it refers to",
    "a:\n  - *b": "f:2: the alias `*b` refers to nothing above it",
    LAUGHS: "f:6: more than 500,000 values once its aliases are expanded",
    "a: 1\n---\nb: 1": "f:2: a second document begins here; one file holds one",
    "a: \x00": "f:1: a control character; YAML is plain text",
    "a: 1\nb: " + "9" * 5000: "f:2: a number of more than 4300 digits",
    "? [1]\n: 2": "f:1: a key must be a plain word",
    "a: &a {b: 1}\nc:\n  <<: *a": "f:3: <<: merge keys are not supported; write the keys out",
    "": "f: is empty; keys with values are wanted",
    "# only a comment\n": "f: is empty; keys with values are wanted",
    "- 1": "f:1: holds a list; keys with values are wanted",
    "\nword": "f:2: holds a single value; keys with values are wanted",
    "\ud800": "f: not UTF-8",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=range(len(BAD)))
def test_each_mistake_has_its_message_with_the_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: 'b", "a: b: c", "a: @b", "a: 1\n b: 2", "%YAML 1\n---\na: 1"]
)
def test_bad_syntax_is_said_to_be_no_yaml(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:[1-9]\d*: not valid YAML: "):
        parse_yaml(text, "f")


@pytest.mark.parametrize("levels", [MOST_DEPTH, 60, 100_000])
def test_deep_nesting_is_refused(levels: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: " + "[" * levels, "f")
    assert str(caught.value) == f"f:1: nested more than {MOST_DEPTH} levels deep"


def test_aliases_cannot_nest_deeper_than_what_is_written() -> None:
    text = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))
    with pytest.raises(ConfigError, match=rf"nested more than {MOST_DEPTH} levels deep"):
        parse_yaml(text, "f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("1:30", "1:30"),
        ("010", 10),
        ("0x10", 16),
        ("0o10", 8),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("2%", "2%"),
        ("numba:naive", "numba:naive"),
        ("[torch:library, {n: 1}]", ["torch:library", {"n": 1}]),
    ],
)
def test_values_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    read = parse_value(text, "f")
    assert (read, type(read)) == (value, type(value))


def test_every_key_is_a_text() -> None:
    assert list(parse_yaml("{n: 1, y: 2, on: 3, yes: 4, 5: 6, null: 7, 1.5: 8}", "f").data) == [
        "n", "y", "on", "yes", "5", "null", "1.5",
    ]  # fmt: skip


def test_an_alias_is_copied_so_that_changing_one_place_changes_no_other() -> None:
    data = parse_yaml("a: &a {x: 1}\nb: *a", "f").data
    data["a"]["x"] = 2
    assert data["b"] == {"x": 1}


def test_a_key_path_has_the_line_of_its_key_and_an_unknown_one_that_of_the_nearest_above() -> None:
    document = parse_yaml("a: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n", "f")
    paths: list[tuple[str | int, ...]] = [
        ("a",),
        ("b", 0, "c"),
        ("b", 1),
        ("b", 1, "d", "e"),
        ("b", 1, "x", "y"),
        ("z",),
    ]
    assert [document.place(path)[1] for path in paths] == [1, 3, 4, 5, 4, 1]


def test_a_file_that_is_no_utf_8_is_named_with_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value) == f"{path}:2: not UTF-8: byte 0xe9"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_yaml(path).data == {"a": 1}


def test_a_100_mb_file_is_refused_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"
    with path.open("wb") as stream:
        stream.truncate(100 * 2**20)
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(ConfigError) as caught:
        load_yaml(path)
    assert str(caught.value) == f"{path}: the file is too large: 100 MiB, and 4 MiB are the most"


def test_a_device_without_an_end_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(Path("/dev/zero"))
    assert str(caught.value) == "/dev/zero: the file is too large: more than 4 MiB, and 4 MiB are the most"


def test_a_file_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: 1\n#".ljust(MOST_BYTES, b"x"))
    assert load_yaml(path).data == {"a": 1}


def test_a_directory_a_missing_file_and_a_name_with_nul_are_named(tmp_path: Path) -> None:
    messages = []
    for path in (tmp_path, tmp_path / "no.yaml", Path("a\0b.yaml")):
        with pytest.raises(ConfigError) as caught:
            load_yaml(path)
        messages.append(caught.value.problem)
    assert messages[:2] == ["this is a directory; a YAML file is wanted", "no such file"]
    assert messages[2].startswith("cannot be read: ")


FRAGMENTS = st.sampled_from(
    ["a", "sweeps", ": ", ":\n", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&x ", "*x", "!!str ", "'", '"', "\t",
     "|\n", "#", "---\n", "...\n", "<<", "? ", "%YAML 1.1\n", "\\x", "\x85", "\ufeff", "1", "é", "null", "0x"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(text=st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused_with_one_error(text: str) -> None:
    try:
        document = parse_yaml(text, "f")
    except ConfigError as error:
        assert str(error).startswith("f:")
    else:
        assert isinstance(document.data, dict)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_with_one_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(load_yaml(path).data, dict)
    except ConfigError as error:
        assert str(error).startswith(str(path))


TEXTS = st.text(st.characters(max_codepoint=0xD7FF), max_size=8).filter(lambda text: text != "<<")
"""JSON writes what lies beyond as pairs of escapes, which YAML does not know."""
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(TEXTS, PLAIN, min_size=1, max_size=4))
def test_data_written_as_json_comes_back(data: dict[str, Any]) -> None:
    assert parse_yaml(json.dumps(data, ensure_ascii=True), "f").data == data


def test_the_parser_without_libyaml_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &a [1, {n: yes}]\nb: *a\n"
    expected = parse_yaml(text, "f").data
    monkeypatch.setattr(reader, "_Loader", yaml.SafeLoader)
    assert parse_yaml(text, "f").data == expected
    with pytest.raises(ConfigError, match=r"^f:2: a tab; YAML is indented with spaces$"):
        parse_yaml("a:\n\t- b", "f")
