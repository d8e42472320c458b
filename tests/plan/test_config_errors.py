"""Bad input gets one error with file, line, key and the nearest right word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.errors import ConfigError, ProblemError, UserError
from dlbench.ops.dtypes import DTYPES
from dlbench.plan.config import Config, Sweep, load_config
from dlbench.plan.sweep import cases, count

KNOWN = {"numba": ("naive",), "numpy": ("library", "native", "im2col"), "torch": ("library", "native")}
HEAD = "variants: [torch:library]\nsweeps:\n"
PLAIN = HEAD + "  - op: matmul\n    params: {m: 2, n: 3, k: 4}\n"
CONV = HEAD + "  - op: conv2d\n    suite: resnet50\n"
CONFIG_KEYS = "known: baseline, benchmarks, description, devices, import, measure, name, seed, sweeps, threads, variants"
MATMUL_KEYS = "it takes m, n, k, batch, trans_a, trans_b, alpha, beta"


def params(text: str) -> str:
    return PLAIN.replace("{m: 2, n: 3, k: 4}", text)


BAD: list[tuple[str, str]] = [
    # unknown words
    (PLAIN + "sede: 1\n", "5: sede: unknown key\n  did you mean `seed`?"),
    (PLAIN + "yes: 1\n", f"5: yes: unknown key\n  {CONFIG_KEYS}"),
    (PLAIN + "    dtpe: float32\n", "5: sweeps[0].dtpe: unknown key\n  did you mean `dtype`?"),
    (PLAIN + "measure: {budgt: 3m}\n", "5: measure.budgt: unknown key\n  did you mean `budget`?"),
    (PLAIN + "measure:\n  rounds: {mim: 3}\n", "6: measure.rounds.mim: unknown key\n  did you mean `min`?"),
    (PLAIN.replace("matmul", "matmull"), "3: sweeps[0].op: no op `matmull`\n  did you mean `matmul`?"),
    (CONV.replace("50", "5"), "4: sweeps[0].suite: no suite `resnet5`\n  did you mean `resnet50`?"),
    (PLAIN + "    dtype: float33\n", "5: sweeps[0].dtype: no dtype `float33`\n  did you mean `float32`?"),
    (
        PLAIN + "    dtype: [float32, foat64]\n",
        "5: sweeps[0].dtype[1]: no dtype `foat64`\n  did you mean `float64`?",
    ),
    (
        PLAIN + "    direction: backwards\n",
        "5: sweeps[0].direction: no direction `backwards`\n  did you mean `backward`?",
    ),
    (PLAIN + "    cache: warm\n", "5: sweeps[0].cache: no cache state `warm`\n  known: cold, hot"),
    (
        PLAIN + "    data: norml\n",
        "5: sweeps[0].data: no data distribution `norml`\n  did you mean `normal`?",
    ),
    (PLAIN.replace("torch:", "troch:"), "1: variants[0]: no backend `troch`\n  did you mean `torch`?"),
    (
        PLAIN.replace("library", "libary"),
        "1: variants[0]: torch has no variant `libary`\n  did you mean `library`?",
    ),
    (
        PLAIN + "    variants: [torch:nativ]\n",
        "5: sweeps[0].variants[0]: torch has no variant `nativ`\n  did you mean `native`?",
    ),
    (PLAIN + "baseline: numba:niave\n", "5: baseline: numba has no variant `niave`\n  did you mean `naive`?"),
    (
        PLAIN + "    baseline: nunba:naive\n",
        "5: sweeps[0].baseline: no backend `nunba`\n  did you mean `numba`?",
    ),
    (
        PLAIN.replace("torch:library", "torch"),
        "1: variants[0]: `torch` is not backend:variant, such as torch:library",
    ),
    (
        PLAIN + "devices: tpu\n",
        "5: devices: `tpu` is not a device; write cpu, cuda:0, xpu:0, mps:0, gpu, accelerators or all",
    ),
    (
        params("{m: 2, n: 3, k: 4, bach: 2}"),
        "4: sweeps[0].params.bach: matmul has no parameter `bach`\n  did you mean `batch`?",
    ),
    (params("{m: 2, n: 3}"), f"4: sweeps[0].params: matmul needs k\n  {MATMUL_KEYS}"),
    (
        HEAD + "  - op: matmul\n    problems:\n      - {m: 1, n: 2, k: 3}\n      - {m: 1}\n",
        f"6: sweeps[0].problems[1]: matmul needs n, k\n  {MATMUL_KEYS}",
    ),
    (
        PLAIN + "    direction: backward_data\n",
        "5: sweeps[0].direction: matmul has no direction `backward_data`\n  it has forward",
    ),
    (
        PLAIN + "    dtype: int8\n",
        "5: sweeps[0].dtype: matmul has no dtype `int8`\n  it has float64, float32, tf32, float16, bfloat16",
    ),
    (
        CONV.replace("conv2d", "matmul"),
        "3: sweeps[0].op: suite `resnet50` has no problem of matmul\n  it has conv2d, max_pool2d, avg_pool2d, linear",
    ),
    (
        CONV.replace("conv2d", "[conv2d, softmax]"),
        "3: sweeps[0].op: suite `resnet50` has no problem of softmax\n  it has conv2d, max_pool2d, avg_pool2d, linear",
    ),
    (
        CONV.replace("conv2d", "[conv2d, linear]") + "    where: {c: 64}\n",
        "5: sweeps[0].where.c: linear has no parameter `c` to filter on\n  known: bias, in_features, layer, n, out_features",
    ),
    (
        CONV.replace("conv2d", "[conv2d, linear]") + "    params: {n: 8, h: 7}\n",
        "5: sweeps[0].params.h: linear has no parameter `h`\n  known: bias, in_features, n, out_features",
    ),
    (
        CONV + "    where: {layr: conv1}\n",
        "5: sweeps[0].where.layr: conv2d has no parameter `layr` to filter on\n  did you mean `layer`?",
    ),
    # wrong types
    (params("{m: 2, n: 3, k: four}"), "4: sweeps[0].params.k: a whole number is wanted, not `four`"),
    (params("{m: 2, n: 3, k: 1.5}"), "4: sweeps[0].params.k: a whole number is wanted, not `1.5`"),
    (params("{m: 2, n: 3, k: [4, -4]}"), "4: sweeps[0].params.k: `-4` is less than 1"),
    (params("{m: 2, n: 3, k: {from: 0, to: 4, step: 1}}"), "4: sweeps[0].params.k: `0` is less than 1"),
    (
        params("{m: 2, n: 3, k: 4, trans_a: yes}"),
        "4: sweeps[0].params.trans_a: true or false is wanted, not `yes`",
    ),
    (params("{m: 2, n: 3, k: [[4]]}"), "4: sweeps[0].params.k[0]: a single value is wanted, not a list"),
    (params("[m, n]"), "4: sweeps[0].params: keys with values are wanted, not a list"),
    (PLAIN + "seed: zero\n", "5: seed: a whole number is wanted, not `zero`"),
    (PLAIN + "name: 3\n", "5: name: text is wanted, not `3`"),
    (PLAIN + "threads: 0\n", "5: threads: `0` is less than 1"),
    (PLAIN + "measure:\n", "5: measure: keys with values are wanted, not nothing"),
    (
        PLAIN + "measure: {budget: 1:30}\n",
        "5: measure.budget: `1:30` is not a duration; write 90s, 3m or 1h30m",
    ),
    (PLAIN + "measure: {budget: [1]}\n", "5: measure.budget: a list is not a duration; write 3m"),
    (
        PLAIN + f"measure: {{budget: {'9' * 400}}}\n",
        "5: measure.budget: a huge number is not a duration; write 3m",
    ),
    (
        PLAIN + "measure: {precision: 200%}\n",
        "5: measure.precision: `200%` is not between 0 and 100 %; write 1% or 0.01",
    ),
    (PLAIN + "measure: {sample: ~}\n", "5: measure.sample: nothing is not a duration; write 3m"),
    (PLAIN + "measure: {rounds: {min: 5, max: 2}}\n", "5: measure.rounds: min 5 is more than max 2"),
    (HEAD + "  - 1\n", "3: sweeps[0]: keys with values are wanted, not `1`"),
    ("variants: [a:b]\nsweeps: {op: copy}\n", "2: sweeps: a list is wanted, not keys with values"),
    # empty sweeps
    ("variants: [a:b]\nsweeps: []\n", "2: sweeps: there are none; a config needs one at least"),
    ("variants: [a:b]\nsweeps:\n", "2: sweeps: a list is wanted, not nothing"),
    ("variants: [a:b]\n", "1: `sweeps` is missing"),
    (params("{m: 2, n: 3, k: []}"), "4: sweeps[0].params.k: the list is empty"),
    (PLAIN + "    dtype: []\n", "5: sweeps[0].dtype: the list is empty"),
    (PLAIN.replace("[torch:library]", "[]"), "1: variants: the list is empty"),
    (HEAD + "  - op: matmul\n    problems: []\n", "4: sweeps[0].problems: the list is empty"),
    (HEAD + "  - op: matmul\n", "3: sweeps[0]: needs `params`, `problems` or `suite`"),
    (
        params("{m: 2, n: 3, k: {from: 8, to: 4, step: 1}}"),
        "4: sweeps[0].params.k: the range is empty: from 8 is more than to 4",
    ),
    (
        CONV + "    where: {layer: fc*}\n    params: {n: 1}\n",
        (
            "5: sweeps[0].where.layer: no problem of suite `resnet50` matches `fc*`\n"
            "  there is conv1, res2a_branch1, res2a_branch2a, res2a_branch2b, res2b_branch2a, res3a_branch1, "
            "res3a_branch2a, res3a_branch2b, res3a_branch2c, res3b_branch2a, res3b_branch2b, res4a_branch1, …"
        ),
    ),
    (
        CONV + "    where:\n      layer: conv1\n      c: [64, 128]\n",
        "7: sweeps[0].where.c: no problem of suite `resnet50` matches `64, 128`\n  there is 3",
    ),
    (
        HEAD + "  - op: matmul\n    suite: deepbench_gemm\n    where: {part: server}\n",
        (
            "5: sweeps[0].where.part: no problem of suite `deepbench_gemm` matches `server`\n"
            "  there is train, inference_server, inference_device"
        ),
    ),
    (
        CONV + "    where: {part: train}\n",
        (
            "5: sweeps[0].where.part: conv2d has no parameter `part` to filter on\n"
            "  known: c, dilation, groups, h, k, layer, n, pad, pad_w, r, s, stride, stride_w, w"
        ),
    ),
    # parts that do not go together
    (
        params("{m: [1, 2], n: [1, 2, 3], k: 4}") + "    zip: [m, n]\n",
        "5: sweeps[0].zip: zipped parameters differ in length: m has 2, n has 3",
    ),
    (PLAIN + "    zip: [m, q]\n", "5: sweeps[0].zip: `q` is not among `params`\n  known: k, m, n"),
    (PLAIN + "    zip: [[m, n], [m, k]]\n", "5: sweeps[0].zip: `m` is named twice"),
    (PLAIN + "    zip: m\n", "5: sweeps[0].zip: a list is wanted, not `m`"),
    (params("{m: 2, n: 3, k: {from: 1, to: 4}}"), "4: sweeps[0].params.k: a range has either factor or step"),
    (
        params("{m: 2, n: 3, k: {from: 1, too: 4, step: 1}}"),
        "4: sweeps[0].params.k.too: unknown key\n  did you mean `to`? (1 more after this one)",
    ),
    (
        params(f"{{m: 2, n: 3, k: {{from: 1, to: {'9' * 30}, step: 1}}}}"),
        f"4: sweeps[0].params.k.to: `{'9' * 30}` is more than 9007199254740992",
    ),
    (
        PLAIN + "    problems: [{m: 1, n: 2, k: 3}]\n",
        "3: sweeps[0]: `problems` stands alone, without `params` or `suite`",
    ),
    (PLAIN + "    where: {m: 1}\n", "3: sweeps[0]: `where` filters a `suite`; there is none"),
    (
        PLAIN.replace("variants: [torch:library]\n", ""),
        "1: `variants` is missing, here or in each sweep; such as [torch:library, numba:naive]",
    ),
    (
        PLAIN + "seed: x\nthreads: y\n",
        "5: seed: a whole number is wanted, not `x`\n  (1 more after this one)",
    ),
]


def plan(path: Path, overrides: list[str] | None = None) -> None:
    """Load, count and begin to walk, as every command does."""
    config = load_config(path, overrides or [])
    count(config, ("cpu",))
    for _, _case in zip(range(20), cases(config, ("cpu",), KNOWN), strict=False):
        pass


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_a_mistake_is_named_with_file_line_key_and_the_nearest_word(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        plan(path)
    assert str(caught.value) == f"{path}:{message}"
    assert caught.value.exit_status == 2


OVERRIDES = [
    ("dtype=float33", "--set dtype=float33: sweeps[0].dtype: no dtype `float33`\n  did you mean `float32`?"),
    ("dtpe=float64", "--set dtpe=float64: dtpe: unknown key\n  did you mean `dtype`?"),
    ("mesure.budget=1m", "--set mesure.budget=1m: mesure: unknown key\n  did you mean `measure`?"),
    ("measure.budgt=1m", "--set measure.budgt=1m: measure.budgt: unknown key\n  did you mean `budget`?"),
    (
        "measure.budget=soon",
        "--set measure.budget=soon: measure.budget: `soon` is not a duration; write 90s, 3m or 1h30m",
    ),
    (
        "params.bach=8",
        "--set params.bach=8: sweeps[0].params.bach: matmul has no parameter `bach`\n  did you mean `batch`?",
    ),
    ("foo", "--set foo: no key=value, such as dtype=float64 or measure.budget=1m"),
    ("=1", "--set =1: no key=value, such as dtype=float64 or measure.budget=1m"),
    (
        "dtype=",
        "--set dtype=: sweeps[0].dtype: no dtype nothing\n  known: " + ", ".join(sorted(DTYPES)),
    ),
    (
        "seed=[1",
        "--set seed=[1: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence",
    ),
    ("sweeps.0=1", "--set sweeps.0=1: sweeps.0: `sweeps` has no keys below it"),
    (
        "variants=torch:nativ",
        "--set variants=torch:nativ: variants[0]: torch has no variant `nativ`\n  did you mean `native`?",
    ),
]


@pytest.mark.parametrize(("override", "message"), OVERRIDES, ids=[text for text, _ in OVERRIDES])
def test_a_mistake_in_an_override_names_the_override(override: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(PLAIN, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        plan(path, [override])
    assert str(caught.value) == message


def test_an_override_of_a_broken_config_leaves_its_mistake_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for sweeps, message in (
        ("[1]", "sweeps[0]: keys with values are wanted, not `1`"),
        ("{op: x}", "sweeps: a list is wanted, not keys with values"),
    ):
        path.write_text(f"variants: [a:b]\nsweeps: {sweeps}\n", encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_config(path, ["dtype=float64"])
        assert str(caught.value) == f"{path}:2: {message}"


def test_an_unknown_name_has_the_nearest_built_in_config() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("convv")
    assert str(caught.value) == "no config `convv`\n  did you mean `conv`? Or name a .yaml file."


def test_a_missing_file_has_the_built_in_config_of_a_near_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "convs.yaml")
    assert str(caught.value) == f"{tmp_path / 'convs.yaml'}: no such file\n  did you mean `conv`?"


def test_a_kernel_larger_than_its_padded_input_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        HEAD
        + "  - op: conv2d\n    problems:\n      - {c: 3, h: 8, w: 8, k: 4, r: 3, s: 3}\n"
        + "      - {c: 3, h: 8, w: 8, k: 4, r: 11, s: 11}\n",
        encoding="utf-8",
    )
    with pytest.raises(ProblemError) as caught:
        plan(path)
    told = "conv2d 1×3×8×8 → 4, 11×11: the 11×11 kernel (dilation 1) is larger than the padded 8×8 input"
    assert str(caught.value) == f"{path}:6: {told}"


def test_a_layer_that_an_override_makes_impossible_is_named_with_its_suite(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONV + "    params: {pad: 0}\n", encoding="utf-8")
    config = load_config(path, ["params.h=2"])
    with pytest.raises(
        ProblemError, match=r"c\.yaml:3: layer conv1 of suite resnet50: conv2d 1×3×2×224 → 64, 7×7"
    ):
        list(cases(config, ("cpu",), KNOWN))


WORDS = st.sampled_from(
    [
        "matmul",
        "conv2d",
        "copy",
        "resnet50",
        "float32",
        "hot",
        "torch:library",
        "all",
        "m",
        "n",
        "3m",
        "2%",
        "res*",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-4, 2**70) | st.floats() | WORDS | st.text(max_size=4)
KEYS = st.sampled_from(
    [
        *Config.model_fields,
        *Sweep.model_fields,
        "m",
        "n",
        "k",
        "from",
        "to",
        "step",
        "factor",
        "rounds",
        "budget",
        "layer",
    ]
)
NESTED: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
SWEEPS = st.lists(st.dictionaries(KEYS, NESTED, max_size=5) | NESTED, max_size=2)


@settings(max_examples=300, deadline=None)
@given(data=st.dictionaries(KEYS, NESTED, max_size=4), sweeps=SWEEPS, override=st.tuples(KEYS, NESTED))
def test_any_structure_is_planned_or_refused_with_one_error(
    data: dict[str, Any],
    sweeps: list[Any],
    override: tuple[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(
        json.dumps({"variants": ["torch:library"], **data, "sweeps": sweeps})
        .replace("NaN", ".nan")
        .replace("Infinity", ".inf"),
        encoding="utf-8",
    )
    for overrides in ([], [f"{override[0]}={json.dumps(override[1])}"]):
        try:
            plan(path, overrides)
        except UserError as error:
            assert str(error)  # any of the user errors will do; every other exception fails the test
