import pytest
from datasets import Image, load_dataset

from cluster.driver import generate
from samplers.plan import build_plan
from synthgen.report.comparison import compare, describe_comparison
from synthgen.report.reproduction import reproduce

RAW = Image(decode=False)


@pytest.mark.parametrize("noise", ["sample", "identity"])
@pytest.mark.parametrize("au_noise", [0.0, 0.7])
def test_neutral_faces_of_one_person_are_different_images(make_config, tmp_path, noise, au_noise):
    config = make_config(
        samples=8,
        expressions={"prior": "emotions", "categories": ["neutral"]},
        identities={"noise": noise, "neutral_image": True, "expressions_per_identity": 3},
        pipeline={"au_noise": au_noise, "size": 64},
        verify={"on_exhausted": "keep_best"},
    )
    generate(config, "inline")
    splits = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    rows = [row for split in splits.values() for row in split.cast_column("image", RAW)]
    assert len(rows) == len({row["image"]["bytes"] for row in rows}) == 8
    assert len({row["seed"] for row in rows}) == 8
    assert reproduce(config.output.path, rows[3]["sample_id"]).same


def test_grids_neutral_images_and_one_noise_come_through_a_run(make_config, tmp_path):
    config = make_config(samples=30)
    changes = {"expressions_per_identity": "grid", "neutral_image": True, "noise": "identity"}
    section = config.identities.model_copy(update=changes)
    config = config.model_copy(update={"identities": section})
    summary = generate(config, "inline")
    assert summary.rows == 30
    splits = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    people = {split: set(rows["identity_id"]) for split, rows in splits.items()}
    assert not set.intersection(*people.values())
    for split, rows in splits.items():
        neutral = [row for row in rows if not any(row["aus"])]
        assert {row["identity_id"] for row in neutral} == people[split]
    rows = [row for split in sorted(splits) for row in splits[split].cast_column("image", RAW)]
    assert len({row["image"]["bytes"] for row in rows}) == 30
    plan = build_plan(config)
    for row in rows:
        spec = plan.sample(plan.find(row["sample_id"]), row["replacement"])
        assert row["seed"] == plan.attempt(spec, row["attempt"]).noise_seed
    twice = [row["seed"] for row in rows if not any(row["aus"])]
    assert len(set(twice)) == len(twice) == 12
    assert "neutral" in describe_comparison(compare(config.output.path))
