import subprocess
import sys

import pytest

from samplers import build_plan
from samplers.identities import write_store
from samplers.identities.faceid import FaceIdIdentitiesConfig
from samplers.summary import render, summarise
from synthgen.config import VerifyConfig, parse_config
from synthgen.errors import ConfigError
from tests.support.tiny_faces import make_store


def test_a_summary_counts_the_whole_plan(configuration):
    plan = build_plan(configuration(samples=240))
    summary = summarise(plan)
    assert (summary.samples, summary.identities, summary.counted) == (240, 80, 240)
    assert summary.sizes == {"train": 192, "validation": 24, "test": 24}
    assert summary.shards == len(list(plan.shards()))
    assert summary.first == tuple(plan.sample(index) for index in range(5))
    assert [share.name for share in summary.categories] == ["neutral", "happy", "sad", "awed"]
    assert all(share.expected == share.counted == 0.25 for share in summary.categories)


def test_expected_frequencies_are_exact_and_beside_the_counted_ones(configuration):
    summary = summarise(build_plan(configuration(samples=240)))
    by_name = {au.name: au for au in summary.aus}
    assert by_name["AU12"].expected_rate == by_name["AU12"].counted_rate == 0.25
    assert by_name["AU1"].expected_rate == pytest.approx((0.60 + 1) / 4)
    assert by_name["AU1"].counted_rate == pytest.approx(0.4, abs=0.06)
    assert by_name["AU12"].expected_mean == 3.5
    assert by_name["AU12"].counted_mean == pytest.approx(3.5, abs=0.4)
    assert by_name["AU9"].expected_mean is None
    assert by_name["AU9"].counted_mean is None


def test_a_large_plan_is_counted_over_its_first_samples(configuration):
    summary = summarise(build_plan(configuration(samples=20_000, group=100)), first=1)
    assert summary.counted == 10_000
    assert len(summary.first) == 1
    assert "planned  (first 10000 samples)" in render(summary)


def test_the_text_holds_every_part(configuration):
    plan = build_plan(configuration(samples=30))
    lines = render(summarise(plan, first=1)).splitlines()
    assert lines[:3] == [
        "samples     30 (train 24, validation 3, test 3)",
        "identities  10 (each 3 expressions)",
        "shards      6",
    ]
    assert lines[4] == "category  expected   planned"
    assert any(line.startswith("AU26  jaw drop") for line in lines)
    run = plan.run_id
    assert lines[-3].startswith(f"sample-{run}-00000000  train  id-{run}-00000000  ")
    assert lines[-1] == "    " + plan.sample(0).prompt


def test_ambiguous_categories_are_named(configuration):
    config = configuration()
    chosen = {"categories": ["angry", "hatred"], "allow_ambiguous": True}
    expressions = config.expressions.model_copy(update=chosen)
    plan = build_plan(config.model_copy(update={"expressions": expressions}))
    assert "the same on the 12 AUs: angry, hatred" in render(summarise(plan)).splitlines()


def test_independent_aus_have_no_category_table(configuration):
    text = render(summarise(build_plan(configuration(prior="independent"))))
    assert "category" not in text
    assert all(len(line) < 100 for line in text.splitlines())


def test_a_plan_loads_neither_torch_nor_ray_nor_what_takes_long():
    code = "import samplers.summary, sys; print({'torch', 'ray', 'scipy.stats'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


COPULA = {
    "prior": "copula",
    "marginals": {"AU1": {"rate": 0.3}, "AU2": {"rate": 0.3}, "AU4": {"rate": 0.3}},
    "correlation": {"AU1+AU2": 0.9, "AU2+AU4": 0.9, "AU1+AU4": 0.55},
    "max_repair": 0.1,
}


def with_expressions(configuration, expressions):
    data = configuration(samples=120).model_dump(mode="json")
    return build_plan(parse_config({**data, "expressions": expressions}))


def test_what_rules_leave_stands_beside_what_was_asked(configuration):
    rules = {"rules": [{"exclude": ["AU1", "AU12"]}]}
    aus = {"AU1": {"rate": 0.5}, "AU12": {"rate": 0.5}}
    plan = with_expressions(configuration, {"prior": "independent", "aus": aus, **rules})
    lines = render(summarise(plan)).splitlines()
    assert "   asked  expected   planned  expected   planned" in lines[5]
    (line,) = (line for line in lines if line.startswith("AU12"))
    asked, expected = (float(part.rstrip("%")) for part in line.split()[4:6])
    assert asked == 50
    assert expected == pytest.approx(100 / 3, abs=1)


def test_repairs_are_told(configuration):
    lines = render(summarise(with_expressions(configuration, COPULA))).splitlines()
    assert any(line.startswith("note: expressions.correlation: AU1+AU4") for line in lines)


def test_quotas_have_a_table_and_a_matrix(configuration):
    quotas = {"category": {"happy": 0.75}}
    expressions = {"prior": "emotions", "categories": ["happy", "sad"], "quotas": quotas}
    summary = summarise(with_expressions(configuration, expressions))
    assert [(cell.name, cell.asked) for cell in summary.quotas] == [
        ("happy", 0.75),
        ("other category", 0.25),
    ]
    assert all(cell.counted == pytest.approx(cell.asked, abs=0.01) for cell in summary.quotas)
    assert summary.joint_expected[6, 10] == pytest.approx(0.75)
    assert summary.joint_counted[6, 10] == pytest.approx(0.75, abs=0.01)
    assert sum(summary.active_counted) == pytest.approx(1)
    assert summary.levels_counted[6].sum() == pytest.approx(0.75, abs=0.01)
    assert "quota              asked   planned" in render(summary)


def test_the_samples_of_an_identity_are_told(configuration):
    config = configuration(samples=40)
    changes = {"neutral_image": True, "noise": "identity", "expressions_per_identity": "grid"}
    section = config.identities.model_copy(update=changes)
    plan = build_plan(config.model_copy(update={"identities": section}))
    summary = summarise(plan)
    assert render(summary).splitlines()[1] == (
        "identities  8 (each 4 expressions, a neutral image, one noise)"
    )
    assert [share.counted for share in summary.categories] == [0.25] * 4


def test_the_people_of_a_store_are_told(configuration, tmp_path):
    write_store(tmp_path / "faces.parquet", make_store(30))
    store = str(tmp_path / "faces.parquet")
    config = configuration(samples=30)
    section = FaceIdIdentitiesConfig(source="faceid", store=store, expressions_per_identity=3)
    plan = build_plan(config.model_copy(update={"identities": section}))
    lines = render(summarise(plan)).splitlines()
    assert lines[1:3] == [
        "identities  10 (each 3 expressions)",
        f"people      {store}: 30 people, described by toy",
    ]


def test_a_plan_of_neutral_images_alone_is_refused(configuration):
    config = configuration(samples=1)
    section = config.identities.model_copy(update={"neutral_image": True})
    with pytest.raises(ConfigError) as caught:
        summarise(build_plan(config.model_copy(update={"identities": section})))
    assert str(caught.value) == "samples is 1; all of them are neutral images, ask for more"


def test_the_worst_case_is_said_where_several_images_may_be_made(configuration):
    assert VerifyConfig(max_attempts=1000, max_replacements=1000).most_images == 1_001_000
    for other in ("drop", "keep_best", "fail"):
        found = VerifyConfig(max_attempts=7, max_replacements=9, on_exhausted=other)
        assert found.most_images == 7
    summary = summarise(build_plan(configuration(samples=30)))
    verify = VerifyConfig(max_attempts=1000, max_replacements=1000)
    most = "images      at most 1,001,000 a sample, 30,030,000 in all"
    assert most in render(summary, verify.most_images).splitlines()
    lines = render(summary, verify.most_images, verify.sooner).splitlines()
    assert f"{most} (verify.fuse: 300 of a stratum end it sooner)" in lines
    assert "at most" not in render(summary, 1)


def test_quotas_of_identity_slots_are_shown_as_asked_and_as_planned(configuration):
    config = configuration(samples=100, group=2)
    quotas = {"person": {"man": 0.3}}
    identities = config.identities.model_copy(update={"quotas": quotas, "people_per_tuple": 9})
    plan = build_plan(config.model_copy(update={"identities": identities}))
    lines = render(summarise(plan, slots=quotas)).splitlines()
    place = lines.index("identity quota     asked   planned")
    assert lines[place + 1].split() == ["person", "'man'", "30.0%", "30.0%"]
