import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from typer.testing import CliRunner

from pipelines.libreface.check import judge
from samplers import build_plan
from samplers.flame.rendering import FlameRenderer
from samplers.flame.serving import count_served, refuse_unserved
from samplers.priors.uniform import UniformConfig
from samplers.summary import render, summarise
from synthgen.action_units import ActionUnitSet
from synthgen.cli.commands import app
from synthgen.config import parse_config
from synthgen.errors import BankError, ConfigError, OutputError
from tests.support.flame_banks import ABOUT, bank_around, bank_of, make_bank

METHODS = ["nearest", "blend", "linear"]
POLICY = {"max_active_error": 0.8, "max_inactive": 0.8, "per_au_tolerance": {"AU20": None}}


@pytest.fixture(scope="module")
def bank_file(tmp_path_factory):
    """Write a bank with faces for all that a small prior asks for, and others."""
    config = make_config("none", flame=None, samples=200)
    plan = build_plan(config)
    requests = np.concatenate([plan.requests(split, 0, size) for split, size in plan.sizes.items()])
    path = tmp_path_factory.mktemp("banks") / "bank.parquet"
    near, others = bank_around(np.vstack([requests, np.zeros((1, 12))]), 4), make_bank(300, 5)
    bank_of(np.vstack([near.aus, others.aus])).write(path)
    return path


def make_config(bank, samples=60, flame="nearest", neighbours=8, group=3, policy=POLICY, **more):
    section = {"flame": {"bank": str(bank), "method": flame, "neighbours": neighbours}}
    return parse_config(
        {
            "name": "test",
            "seed": 11,
            "samples": samples,
            "output": {"path": "out", "shard_size": 7},
            "expressions": {
                "prior": "emotions",
                "categories": ["neutral", "happy", "sad", "angry"],
                "intensity": {"low": 2, "high": 4},
                **(section if flame else {}),
            },
            "identities": {
                "source": "prompts",
                "template": "a {hair} person",
                "slots": {"hair": [f"hair {number}" for number in range(300)]},
                "expressions_per_identity": group,
                **more,
            },
            "pipeline": {"name": "procedural"},
            "verify": {"aligner": "centered", "policy": policy},
        }
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_spec_is_the_same_alone_and_in_bulk(bank_file, method):
    plan = build_plan(make_config(bank_file, flame=method, neutral_image=True))
    for split, size in plan.sizes.items():
        bulk = plan.specs(split, 0, size)
        assert bulk == [plan.spec(split, position) for position in range(size)]
        assert bulk == [plan.sample(spec.index) for spec in bulk]
        assert bulk[1:3] == plan.specs(split, 1, 3)
        assert all("flame" in spec.conditions for spec in bulk)


@given(st.sampled_from(METHODS), st.integers(1, 60), st.integers(0, 60), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_more_samples_keep_the_earlier_specs(bank_file, method, samples, more, group):
    plan = build_plan(make_config(bank_file, samples, method, group=group))
    longer = build_plan(make_config(bank_file, samples + more, method, group=group))
    for index in range(0, samples, 7):
        for replacement in range(3):
            assert plan.sample(index, replacement) == longer.sample(index, replacement)


@given(st.integers(0, 199), st.integers(0, 4), st.integers(1, 12))
@settings(max_examples=20, deadline=None)
def test_nearest_takes_a_face_that_the_policy_accepts(bank_file, index, replacement, neighbours):
    config = make_config(bank_file, 200, neighbours=neighbours)
    plan = build_plan(config)
    spec = plan.sample(index, replacement)
    renderer = plan.renderer
    row = renderer.bank.sources.index(spec.conditions["flame"].source)
    assert (renderer.bank.flame[row] == spec.conditions["flame"].numbers).all()
    policy = config.verify.checks[0].policy
    assert judge(spec.aus, renderer.bank.aus[row], 1, policy).accepted
    (faces,) = renderer.faces(np.array([spec.aus], np.float32))
    assert row in faces
    assert len(faces) <= neighbours
    distances = np.abs(renderer.measured - np.array(spec.aus)).mean(axis=1)
    accepted = [judge(spec.aus, aus, 1, policy).accepted for aus in renderer.bank.aus]
    nearest = sorted(np.flatnonzero(accepted), key=lambda face: (distances[face], face))
    assert distances[faces].tolist() == pytest.approx(distances[nearest[:neighbours]].tolist())


@given(st.integers(0, 199), st.integers(0, 2), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_blend_is_a_convex_mix_of_faces_that_serve(bank_file, index, replacement, neighbours):
    plan = build_plan(make_config(bank_file, 200, "blend", neighbours))
    spec = plan.sample(index, replacement)
    (rows,) = plan.renderer.faces(np.array([spec.aus], np.float32))
    faces = plan.renderer.bank.flame[rows].astype(np.float64)
    system = np.vstack([faces.T, 100 * np.ones(len(faces))])
    weights, rest = nnls(system, np.append(spec.conditions["flame"].numbers, 100.0))
    assert rest < 1e-4
    assert weights.sum() == pytest.approx(1, abs=1e-4)
    assert spec.conditions["flame"].source == "blend:" + ",".join(
        plan.renderer.bank.sources[row][:12] for row in rows
    )


def test_equal_requests_have_many_faces(bank_file):
    plan = build_plan(make_config(bank_file, 200))
    aus = np.repeat(plan.requests("train", 1, 2), 400, axis=0)
    shown = plan.renderer.render("train", 0, aus)
    (faces,) = plan.renderer.faces(aus[:1])
    counts = {expression.source: 0 for expression in shown}
    for expression in shown:
        counts[expression.source] += 1
    assert set(counts) == {plan.renderer.bank.sources[row] for row in faces}
    assert len(faces) > 3
    assert min(counts.values()) > 400 / len(faces) / 2


def test_blends_of_equal_requests_differ(bank_file):
    plan = build_plan(make_config(bank_file, 200, "blend"))
    aus = np.repeat(plan.requests("train", 1, 2), 50, axis=0)
    assert len(set(plan.renderer.render("train", 0, aus))) == 50


def test_the_fitted_map_follows_the_bank(bank_file):
    plan = build_plan(make_config(bank_file, 200, "linear"))
    bank = plan.renderer.bank
    shown = np.array([one.numbers for one in plan.renderer.render("train", 0, bank.aus)])
    rest = ((shown - bank.flame)[:, :50] ** 2).sum() / (
        (bank.flame - bank.flame.mean(0)) ** 2
    ).sum()
    assert rest < 0.05
    assert (shown >= bank.flame.min(axis=0)).all()
    assert (shown <= bank.flame.max(axis=0)).all()


def test_rendering_leaves_everything_else_as_it_was(bank_file):
    plain = build_plan(make_config(bank_file, flame=None))
    shown = build_plan(make_config(bank_file))
    for index in range(60):
        ours, theirs = shown.sample(index), plain.sample(index)
        rest = {name: value for name, value in ours.conditions.items() if name != "flame"}
        assert rest == theirs.conditions
        assert ours.prompt == theirs.prompt
        assert ours.identity_seed == theirs.identity_seed


def test_replacements_draw_faces_anew(bank_file):
    plan = build_plan(make_config(bank_file))
    drawn = {plan.sample(5, number).conditions["flame"] for number in range(6)}
    assert len(drawn) > 1


def test_a_replacement_that_no_face_serves_keeps_the_last_vector_that_one_does(tmp_path):
    plan = build_plan(make_config("none", flame=None))
    first = plan.requests("train", 0, plan.sizes["train"])
    every = np.vstack([plan.requests(split, 0, size) for split, size in plan.sizes.items()])
    bank_around(every, 2, spread=0.01).write(tmp_path / "bank.parquet")
    tight = {"max_active_error": 0.05, "max_inactive": 0.05}
    served = build_plan(make_config(tmp_path / "bank.parquet", policy=tight))
    refuse_unserved(served)
    kept = 0
    for position in range(served.sizes["train"]):
        for replacement in range(1, 4):
            spec = served.spec("train", position, replacement)
            drawn = plan.spec("train", position, replacement)
            before = served.spec("train", position, replacement - 1)
            assert spec.aus in (drawn.aus, before.aus)
            kept += spec.aus != drawn.aus
            assert spec.replacement == replacement
        assert served.spec("train", position).aus == tuple(first[position].tolist())
    assert kept > 10


def test_requests_that_no_face_serves_are_counted_and_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bank_of(np.zeros((40, 12))).write("bank.parquet")
    plan = build_plan(make_config("bank.parquet"))
    found = count_served(plan)
    neutral = sum(
        not any(plan.requests(split, place, place + 1)[0])
        for split, size in plan.sizes.items()
        for place in range(size)
    )
    assert (found.samples, found.unserved) == (60, 60 - neutral)
    assert (found.fewest, found.median, found.faces) == (40, 40, 40)
    with pytest.raises(ConfigError) as error:
        refuse_unserved(plan)
    assert str(error.value) == found.fault
    assert found.fault.startswith(
        f"expressions.flame: no face of bank.parquet would be accepted by the run's checks for "
        f"{60 - neutral} of 60 requests; AU"
    )
    assert ", for example, is " in found.fault
    assert found.fault.endswith(
        " from the nearest face (mean difference over the AUs); add faces to the bank, ask for "
        "other AUs, or loosen the policy"
    )
    text = render(summarise(plan))
    assert (
        f"bank        bank.parquet: 40 faces, nearest; a request is served by 40 at the median, "
        f"40 at least; {60 - neutral} of 60 by none" in text
    )
    assert f"note: {found.fault}" in text
    with pytest.raises(ConfigError, match="for 1 of 1 requests"):
        plan.specs("train", 0, plan.sizes["train"])


def test_a_bank_that_serves_all_is_told_by_the_plan(bank_file):
    text = render(summarise(build_plan(make_config(bank_file, 100))))
    assert "faces, nearest; a request is served by " in text
    assert " by none" not in text
    assert "faces, linear\n" in render(summarise(build_plan(make_config(bank_file, 9, "linear"))))


def test_a_bank_serves_what_is_drawn_from_its_own_aus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bank = make_bank(40)
    bank.write("bank.parquet")
    words = ["flame", "inspect", "bank.parquet", "--aus", "aus.csv"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.stdout.endswith(
        "\naus.csv: the AUs of each face; prior: empirical, format: csv draws from them\n"
    )
    data = make_config("bank.parquet", 200, policy={}).model_dump(mode="json")
    labels = {"prior": "empirical", "labels": "aus.csv", "format": "csv"}
    data["expressions"] = {**labels, "flame": data["expressions"]["flame"]}
    found = count_served(build_plan(parse_config(data)))
    assert (found.samples, found.unserved) == (200, 0)
    with pytest.raises(OutputError, match=r"^aus.txt cannot be written; labels end in .csv$"):
        CliRunner().invoke(app, [*words[:-1], "aus.txt"], catch_exceptions=False)


def test_a_bank_that_does_not_fit_the_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ActionUnitSet(("AU4", "AU12"))
    make_bank(5, aus=few).write("few.parquet")
    with pytest.raises(BankError) as error:
        build_plan(make_config("few.parquet"))
    assert str(error.value) == (
        "expressions.flame.bank: few.parquet does not hold AU1, AU2, AU5, AU6, AU9, AU15, AU17, "
        "AU20, AU25, AU26, which the run asks for; it holds AU4, AU12"
    )
    about = type(ABOUT)(extractor="deca", measurer="libreface")
    make_bank(5, about=about).write("deca.parquet")
    with pytest.raises(BankError) as error:
        build_plan(make_config("deca.parquet"))
    assert str(error.value) == (
        "expressions.flame.bank: deca.parquet holds numbers of the extractor 'deca', and "
        "expressions.flame.extractor is 'smirk'; numbers of two extractors mean different things"
    )
    with pytest.raises(BankError, match=r"^the bank none.parquet does not exist$"):
        build_plan(make_config("none.parquet"))


def test_a_bank_may_hold_more_aus_than_the_run(tmp_path):
    more = ActionUnitSet.of(["AU45", "AU1", "AU12"])
    make_bank(50, aus=more).write(tmp_path / "bank.parquet")
    config = make_config(tmp_path / "bank.parquet", policy={})
    section = config.expressions.model_copy(update={"action_units": ["AU1", "AU12"]})
    renderer = FlameRenderer.from_config(config.model_copy(update={"expressions": section}))
    assert (renderer.measured == renderer.bank.aus[:, :2]).all()


def test_a_component_of_a_mixture_has_no_bank_of_its_own():
    config = make_config("none", flame=None)
    data = config.model_dump(mode="json")
    part = {"prior": "uniform", "active": {2: 1.0}, "flame": {"bank": "bank.parquet"}}
    data["expressions"] = {
        "prior": "mixture",
        "of": [part, {"prior": "uniform", "active": {2: 1.0}}],
    }
    with pytest.raises(ConfigError, match="a component has flame; give it to the whole mixture"):
        parse_config(data)


def test_without_a_bank_the_configuration_says_nothing_of_one():
    config = make_config("none", flame=None)
    assert "flame" not in config.identity()["expressions"]
    assert config.expressions.given() == {"aus"}
    assert make_config("bank.parquet").expressions.given() == {"aus", "flame"}


class Sculptor(UniformConfig):
    gives = frozenset({"aus", "flame"})


def test_a_prior_that_gives_flame_itself_takes_no_bank():
    section = {"prior": "uniform", "active": {2: 1.0}}
    assert Sculptor.model_validate(section).given() == {"aus", "flame"}
    with pytest.raises(ValueError, match="the prior 'uniform' gives flame itself; leave flame out"):
        Sculptor.model_validate({**section, "flame": {"bank": "bank.parquet"}})


def test_without_checks_a_doubt_is_told():
    config = make_config("bank.parquet")
    assert config.expressions.flame.doubts(config) == []
    bare = config.model_copy(update={"verify": config.verify.model_copy(update={"checks": []})})
    assert bare.expressions.flame.doubts(bare) == [
        "expressions.flame: no check looks at the AUs, so that the nearest faces of the bank serve "
        "each request, however far they are"
    ]
