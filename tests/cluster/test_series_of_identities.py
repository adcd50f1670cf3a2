from datasets import Image, load_dataset

from cluster.driver import generate
from samplers.plan import build_plan
from synthgen.report.comparison import compare, describe_comparison

RAW = Image(decode=False)


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
