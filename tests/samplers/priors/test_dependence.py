import numpy as np
import pytest

from samplers import load_prior
from synthgen.action_units import AUS
from synthgen.errors import ConfigError

MARGINALS = {
    "AU1": {"rate": 0.07},
    "AU2": {"rate": 0.06},
    "AU6": {"rate": 0.15},
    "AU12": {"rate": 0.235},
    "AU25": {"rate": 0.0},
}


def prior_of(**asked):
    return load_prior({"prior": "copula", "marginals": MARGINALS, **asked})


def joint_of(prior, one, other):
    return prior.joint()[AUS.index(one), AUS.index(other)]


def test_each_way_of_asking_gives_what_was_asked():
    assert joint_of(prior_of(joint={"AU1+AU2": 0.05}), "AU1", "AU2") == pytest.approx(0.05)
    conditional = prior_of(conditional={"AU6|AU12": 0.55})
    assert joint_of(conditional, "AU6", "AU12") == pytest.approx(0.55 * 0.235)
    latent = prior_of(correlation={"AU6+AU12": 0.8})
    table = prior_of(matrix={"aus": ["AU12", "AU6"], "values": [[1, 0.8], [0.8, 1]]})
    assert latent.correlation[4, 6] == 0.8
    assert np.array_equal(latent.sample(500, seed=0), table.sample(500, seed=0))


def test_pairs_that_are_not_named_are_independent():
    prior = prior_of(correlation={"AU1+AU2": 0.6})
    assert joint_of(prior, "AU1", "AU12") == pytest.approx(0.07 * 0.235, abs=1e-12)
    assert prior.notes() == ()
    assert np.array_equal(prior_of().correlation, np.eye(12))


def test_what_is_possible_at_most_and_at_least_can_be_asked():
    assert joint_of(prior_of(joint={"AU1+AU2": 0.06}), "AU1", "AU2") == pytest.approx(
        0.06, abs=0.0005
    )
    assert joint_of(prior_of(joint={"AU1+AU2": 0}), "AU1", "AU2") < 2e-6
    assert prior_of(joint={"AU12+AU25": 0}).notes() == ()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"joint": {"AU1+AU2": 0.08}},
            "expressions.joint: AU1+AU2 is 0.08; with the rates 0.07 of AU1 and 0.06 of AU2 it can "
            "be from 0 to 0.06",
        ),
        (
            {"conditional": {"AU6|AU12": 0.9}},
            "expressions.conditional: AU6|AU12 is 0.9; with the rates 0.15 of AU6 and 0.235 of "
            "AU12 it can be from 0 to 0.6383",
        ),
        (
            {"conditional": {"AU6|AU25": 0.1}},
            "expressions.conditional: AU6|AU25 cannot be, as the rate of AU25 is 0; give it a rate "
            "above 0, or leave the pair out",
        ),
        (
            {"correlation": {"AU1+AU2": 0.9, "AU1+AU6": 0.9, "AU2+AU6": -0.5}},
            "expressions.correlation: the pairs cannot all go together as asked; the nearest that "
            "can moves AU1+AU2 most, its latent correlation from 0.900 to 0.608, by 0.292; "
            "max_repair allows moves up to 0.05",
        ),
        (
            {"joint": {"AU1+AU2": 0.055, "AU1+AU6": 0.055, "AU2+AU6": 0.01}},
            "expressions.joint: the pairs cannot all go together as asked; the nearest that can "
            "moves AU1+AU2 most, its latent correlation from 0.984 to 0.816, by 0.168 (P(AU1 and "
            "AU2) from 0.0550 to 0.0347); max_repair allows moves up to 0.05",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_what_can(asked, sentence):
    with pytest.raises(ConfigError) as caught:
        prior_of(**asked)
    assert str(caught.value) == sentence


def test_a_small_repair_is_made_and_told():
    pairs = {"AU1+AU2": 0.9, "AU1+AU6": 0.9, "AU2+AU6": 0.55}
    prior = prior_of(correlation=pairs, max_repair=0.1)
    largest = abs(prior.correlation[0, 1] - 0.9)
    assert 0.01 < largest < 0.1
    assert np.linalg.eigvalsh(prior.correlation)[0] > 0
    assert len(prior.notes()) == 3
    assert prior.notes()[0] == (
        "expressions.correlation: AU1+AU2 was moved so that all pairs can go together, its latent "
        f"correlation from 0.900 to {prior.correlation[0, 1]:.3f}, by {largest:.3f}"
    )
    with pytest.raises(ConfigError, match="max_repair allows moves up to 0"):
        prior_of(correlation=pairs, max_repair=0.0)


def test_conditionals_that_are_repaired_are_told_as_conditionals():
    pairs = {"AU2|AU1": 0.6, "AU6|AU1": 0.9, "AU6|AU2": 0.25}
    prior = prior_of(conditional=pairs, max_repair=0.5)
    after = joint_of(prior, "AU2", "AU1") / 0.07
    told = [note for note in prior.notes() if ": AU2+AU1 was moved" in note]
    assert told[0].endswith(f"(P(AU2|AU1) from 0.6000 to {after:.4f})")


def test_pairs_that_are_not_named_but_cannot_be_independent_are_told():
    prior = prior_of(correlation={"AU1+AU2": 0.8, "AU2+AU6": 0.8})
    assert prior.notes() == (
        "expressions.correlation: 1 pair that is not named cannot stay independent; AU1+AU6 moved "
        "most, to a latent correlation of 0.280",
    )
    assert prior.correlation[0, 1] == pytest.approx(0.8, abs=1e-5)


def test_an_au_that_is_always_active_leaves_the_others_alone():
    marginals = {**MARGINALS, "AU26": {"rate": 1.0}}
    pairs = {"AU1+AU2": 0.9, "AU1+AU26": 0.9, "AU2+AU26": -0.9}
    prior = load_prior({"prior": "copula", "marginals": marginals, "correlation": pairs})
    assert prior.notes() == ()
    assert joint_of(prior, "AU1", "AU26") == 0.07


def test_repairs_that_change_no_probability_do_not_count():
    rare = {au: {"rate": 0.001} for au in ("AU1", "AU2", "AU6")}
    pairs = {"AU1+AU2": 0.0, "AU1+AU6": 0.0, "AU2+AU6": 0.0}
    prior = load_prior({"prior": "copula", "marginals": rare, "joint": pairs, "max_repair": 0.0})
    assert prior.notes() == ()
    assert joint_of(prior, "AU1", "AU2") < 1e-5


def test_of_many_repairs_the_largest_are_told():
    names = ["AU1", "AU2", "AU4", "AU5", "AU6", "AU9"]
    signs = {f"{one}+{other}": -0.5 for i, one in enumerate(names) for other in names[:i]}
    marginals = {au: {"rate": 0.3} for au in names}
    section = {"prior": "copula", "marginals": marginals, "correlation": signs, "max_repair": 0.4}
    notes = load_prior(section).notes()
    assert len(notes) == 6
    assert notes[-1] == "expressions.correlation: 10 more pairs were moved, by less"
