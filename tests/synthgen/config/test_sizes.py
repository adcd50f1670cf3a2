"""Sizes and numbers that no run can have end in one sentence before any work."""

import pytest

from samplers.plan import build_plan
from synthgen.config import dump_config, parse_config
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import ConfigError


def put(data, key, value):
    *parents, last = key.split(".")
    for parent in parents:
        data = data[parent]
    data[last] = value


LONG = "x" * 300

# Key, its value, and the whole sentence.
SENTENCES = [
    ("samples", 10**18, "samples is 1000000000000000000; it must be at most 1e+09"),
    ("samples", 2**70, "samples is 1180591620717411303424; it must be at most 1e+09"),
    ("samples", 10**5000, "samples is a number of 16,610 bits; it must be at most 1e+09"),
    (
        "name",
        "x" * 10_000,
        f"name is '{'x' * 78}…; it must be of at most 96 characters",
    ),
    (
        "output.splits",
        {LONG: 1.0},
        f"output.splits: split name '{'x' * 78}… has 300 bytes; files are named after it, so at "
        "most 64 are possible",
    ),
    (
        "output.splits",
        {"訓" * 22: 1.0},
        f"output.splits: split name '{'訓' * 22}' has 66 bytes; files are named after it, so at "
        "most 64 are possible",
    ),
    (
        "output.splits",
        {"..": 1.0},
        "output.splits: split name '..' must be a plain word other than 'all'",
    ),
    (
        "output.splits",
        {"a/b": 1.0},
        "output.splits: split name 'a/b' must be a plain word other than 'all'",
    ),
    (
        "output.splits",
        {"": 1.0},
        "output.splits: split name '' must be a plain word other than 'all'",
    ),
    (
        "output.splits",
        {"e\u0301": 1.0},
        "output.splits: split name 'e\u0301' can be written in several ways, which file systems "
        "tell apart or not; write it as 'é'",
    ),
    (
        "output.splits",
        {"Train": 0.5, "train": 0.5},
        "output.splits: split names 'Train' and 'train' differ in case alone, and some file "
        "systems take them for one; give one another name",
    ),
    (
        "output.shard_size",
        1,
        "100000000 samples with output.shard_size: 1 make 100,000,000 shards; at most 2,000,000 "
        "are possible, so set output.shard_size to 50 or more",
    ),
    (
        "identities.slots.age",
        {"old": 1e308, "young": 1e308},
        "identities.slots: weight of 'old' in slot 'age' must be above 0 and at most 1e+09",
    ),
    (
        "identities.expressions_per_identity",
        10**12,
        "identities.expressions_per_identity is 1000000000000; it must be 'grid' or at most 1e+09",
    ),
    (
        "identities.negative_prompt",
        "x" * 20_000,
        f"identities.negative_prompt is '{'x' * 78}…; it must be of at most 10000 characters",
    ),
    (
        "expressions.categories",
        {"happy": 1e308},
        "expressions.categories: weight of happy is 1e+308; it must be above 0 and at most 1e+09",
    ),
    ("pipeline.height", 10**9, "pipeline.height is 1000000000; it must be at most 4096"),
    ("pipeline.au_scale", 1e308, "pipeline.au_scale is 1e+308; it must be at most 100"),
    (
        "pipeline.guidance_scale",
        1e308,
        "pipeline.guidance_scale is 1e+308; it must be at most 1000",
    ),
    (
        "cluster",
        {"verify_timeout": 1e-9},
        "cluster.verify_timeout is 1e-09; it must be at least 0.1",
    ),
]


@pytest.mark.parametrize("number", range(len(SENTENCES)))
def test_what_no_run_can_have_is_refused(quickstart, number):
    key, value, sentence = SENTENCES[number]
    if key == "output.shard_size":
        quickstart["samples"] = 10**8
    put(quickstart, key, value)
    with pytest.raises(ConfigError) as caught:
        parse_config(quickstart, where="run.yaml")
    assert str(caught.value) == f"run.yaml: {sentence}"


def test_intensities_end_somewhere_even_out_of_range(quickstart):
    quickstart["expressions"]["allow_out_of_range"] = True
    quickstart["expressions"]["intensity"] = {"low": 2, "high": 1e300}
    with pytest.raises(ConfigError) as caught:
        parse_config(quickstart)
    assert str(caught.value) == (
        "configuration: expressions: intensity 1e+300 is outside [-100, 100]"
    )


def test_more_tuples_than_can_be_numbered_are_refused(quickstart):
    slots = {f"s{n}": [f"v{m}" for m in range(1100)] for n in range(100)}
    quickstart["identities"]["slots"] = slots
    quickstart["identities"]["template"] = " ".join(f"{{{name}}}" for name in slots)
    with pytest.raises(ConfigError) as caught:
        build_plan(parse_config(quickstart))
    assert str(caught.value) == (
        "identities.slots: the slots yield more than 2^1000 tuples of values, too many to be "
        "numbered; leave slots or values out"
    )


def test_a_quota_of_a_value_that_is_none_names_the_first_that_are(quickstart):
    quickstart["identities"]["slots"]["age"] = [f"v{n}" for n in range(50)]
    quickstart["identities"]["quotas"] = {"age": {"old": 0.5}}
    with pytest.raises(ConfigError) as caught:
        parse_config(quickstart)
    known = ", ".join(f"'v{n}'" for n in range(20))
    assert str(caught.value) == (
        f"configuration: identities: quotas.age has the value 'old'; there are {known}, …"
    )


def test_a_hundred_thousand_slot_values_are_taken(quickstart):
    quickstart["identities"]["slots"]["age"] = [f"v{n}" for n in range(100_000)]
    config = parse_config(quickstart)
    ages = {spec.identity["age"] for spec in build_plan(config).specs("train", 0, 60)}
    assert len(ages) == 10
    assert read_yaml(dump_config(config))["identities"]["slots"]["age"][-1] == "v99999"
