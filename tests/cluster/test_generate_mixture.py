from datasets import load_dataset

from cluster.driver import generate
from samplers import build_plan
from synthgen.dataset import inspect_dataset
from synthgen.dataset.labels import BASIC

MIXTURE = {
    "prior": "mixture",
    "of": [
        {"prior": "emotions", "categories": ["happy"], "blends": [{"of": ["sad", "surprised"]}]},
        {"prior": "uniform", "active": {1: 0.5, 2: 0.5}, "rules": [{"cap": "AU9", "at": 3}]},
    ],
    "rules": [{"if": "AU26", "then": "AU25", "at_least": 1}],
}


def test_samples_of_a_component_without_categories_have_no_emotion(make_config, tmp_path):
    config = make_config(samples=16, expressions=MIXTURE)
    generate(config, "inline")
    plan = build_plan(config)
    cache = str(tmp_path / "cache")
    found = load_dataset(config.output.path, split="train", cache_dir=cache)
    labels = found.features["emotion"]
    assert labels.names == [*BASIC, "sad+surprised"]
    by_id = {plan.sample(n).sample_id: plan.sample(n).emotion for n in range(16)}
    for streaming in (False, True):
        rows = load_dataset(
            config.output.path, split="train", cache_dir=cache, streaming=streaming
        ).remove_columns("image")
        emotions = {row["sample_id"]: row["emotion"] for row in rows}
        assert None in emotions.values()
        for sample, emotion in emotions.items():
            assert by_id[sample] == (None if emotion is None else labels.int2str(emotion))
        assert all(row["emotion_name"] == by_id[row["sample_id"]] for row in rows)
    inspection = inspect_dataset(config.output.path)
    assert not inspection.problems
    assert list(inspection.statistics.categories) == ["happy", "sad+surprised"]
    assert [s.name for s in inspection.statistics.strata] == [
        "happy",
        "sad+surprised",
        "no category",
    ]
