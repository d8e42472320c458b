"""A wrong config gets one clear answer: file, line, key, and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.errors import ConfigError, ProblemError, SelectionError
from dlbench.plan.config import load_config
from dlbench.plan.sweep import cases, count, select
from dlbench.plan.yaml import MOST_BYTES, load_yaml, parse_yaml

KNOWN = {"torch": ("library", "native"), "numba": ("naive",)}
GOOD = """\
variants: [torch:library]
sweeps:
  - op: matmul
    params: {m: 8, n: 8, k: [8, 16]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def complaint(folder: Path, text: str, *overrides: str) -> str:
    path = write(folder, text)
    with pytest.raises((ConfigError, ProblemError)) as caught:
        list(cases(load_config(path, overrides), ["cpu"], KNOWN))
    return str(caught.value).replace(str(path), "mine.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("variants:", "variantz:", "mine.yaml:1: variantz: unknown key\n  did you mean `variants`?"),
        ("op: matmul", "op: matmull", "mine.yaml:3: sweeps.0.op: no op `matmull`\n  did you mean `matmul`?"),
        ("    params:", "    dtype: float23\n    params:", "mine.yaml:4: sweeps.0.dtype: no dtype `float23`\n  did you mean"),
        ("    params:", "    direction: fwd\n    params:", "mine.yaml:4: sweeps.0.direction: no direction `fwd`"),
        ("torch:library", "troch:library", "troch:library: no backend `troch`\n  did you mean `torch`?"),
        ("torch:library", "torch:libary", "torch:libary: torch has no variant `libary`\n  did you mean `library`?"),
        ("k: [8, 16]", "k: []", "mine.yaml:4: sweeps.0.params.k"),
        ("k: [8, 16]", "k: {from: 9, to: 8, step: 1}", "an empty range: from 9 is more than to 8"),
        ("k: [8, 16]", "kk: 8", "sweeps[0]: matmul has no parameter `kk`\n  did you mean `k`?"),
        (", k: [8, 16]", "", "sweeps[0]: matmul needs the parameter `k`"),
        ("k: [8, 16]", "k: big", "sweeps[0]: matmul.k: Input should be a valid integer"),
        ("k: [8, 16]", "k: 0", "sweeps[0]: matmul.k: Input should be greater than or equal to 1"),
        ("params: {m: 8, n: 8, k: [8, 16]}", "suite: resnet", "no suite `resnet`\n  did you mean `resnet50`?"),
        ("sweeps:", "measure: {budget: soon}\nsweeps:", "mine.yaml:2: measure.budget: `soon` is not a duration"),
        ("sweeps:", "measure: {budgte: 3m}\nsweeps:", "mine.yaml:2: measure.budgte: unknown key\n  did you"),
        ("sweeps:", "sweeps: []\nother:", "mine.yaml:3: other: unknown key"),
        ("sweeps:", "variants: [numba:naive]\nsweeps:", "mine.yaml:2: variants: duplicate key\n  it stands"),
        ("  - op", "\t- op", "mine.yaml:3: a tab; YAML is indented with spaces"),
        ("[torch:library]", "[torch:library", "mine.yaml:2: not YAML:"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_the_nearest_right_word(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    found = complaint(tmp_path, GOOD.replace(old, new, 1))
    assert message in found


def test_a_kernel_larger_than_its_padded_input_is_named_with_its_problem(tmp_path: Path) -> None:
    text = "variants: [torch:library]\nsweeps:\n  - op: conv2d\n    params: {c: 3, h: 8, w: 8, k: 4, r: 11, s: 11}\n"
    found = complaint(tmp_path, text)
    assert "conv2d 1×3×8×8 → 4, 11×11" in found
    assert "larger than the padded 8×8 input" in found


def test_a_file_of_a_hundred_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(
        ConfigError, match=f"is 100 MiB; a config or suite has at most {MOST_BYTES // 2**20} MiB"
    ):
        load_yaml(path)


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 10)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(ConfigError, match="aliases multiply to more than 1,000,000 values"):
        parse_yaml("\n".join(lines), "bomb.yaml")


def test_an_alias_that_holds_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="an alias holds itself"):
        parse_yaml("a: &a [*a]", "loop.yaml")


def test_depth_is_bounded() -> None:
    with pytest.raises(ConfigError, match="nested deeper than 50 levels"):
        parse_yaml("a: " + "[" * 200 + "]" * 200, "deep.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"- a\n", "holds a list at the top"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a", "holds a single value"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)


def test_a_missing_config_is_told_with_the_nearest_built_in_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no config `conf`\n  did you mean `conv`"):
        load_config("conf")
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a directory"):
        load_yaml(tmp_path)


def test_python_objects_are_not_made() -> None:
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        parse_yaml("a: !!python/object/apply:os.system ['true']", "evil.yaml")


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        assert isinstance(parse_yaml(text, "x.yaml").data, dict)
    except ConfigError as error:
        assert str(error).startswith("x.yaml")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from(["name", "variants", "sweeps", "measure", "devices", "seed", "x"]), json_like
    )
)
def test_no_structure_breaks_the_config(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    import yaml

    path = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_sweep_of_a_billion_cases_is_counted_at_once(tmp_path: Path) -> None:
    axis = "{from: 1, to: 1000, step: 1}"
    text = GOOD.replace("{m: 8, n: 8, k: [8, 16]}", f"{{m: {axis}, n: {axis}, k: {axis}}}")
    config = load_config(write(tmp_path, text))
    assert count(config, ["cpu"]) == 10**9
    first = next(cases(config, ["cpu"], KNOWN))
    assert first.problem.label == "matmul 1×1×1"


@pytest.mark.parametrize("override", ["dtype", "=1", "measure.budget=x", "nonsense=1", "dtype=[", "seed.x=1"])
def test_a_wrong_override_is_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, GOOD), [override])


def test_a_pattern_that_matches_nothing_is_told_what_there_is(tmp_path: Path) -> None:
    planned = cases(load_config(write(tmp_path, GOOD)), ["cpu"], KNOWN)
    with pytest.raises(
        SelectionError, match="nothing matches --only numba:.*; there is matmul, torch:library"
    ):
        list(select(planned, ["numba:*"]))


def test_a_pattern_on_an_unknown_column_is_told_the_nearest(tmp_path: Path) -> None:
    planned = cases(load_config(write(tmp_path, GOOD)), ["cpu"], KNOWN)
    with pytest.raises(SelectionError, match="no column `dtyp`; did you mean `dtype`"):
        list(select(planned, ["dtyp=float32"]))
