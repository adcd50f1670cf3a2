"""AUs may be written in small letters; what is stored has the names of FACS."""

import pytest

from samplers.priors.loading import build_prior
from synthgen.config import load_config, parse_expressions
from synthgen.errors import ConfigError

TWO = {"AU6": {"rate": 0.4}, "AU12": {"rate": 0.5}}
SMALL = {"au6": {"rate": 0.4}, "AU012": {"rate": 0.5}}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"prior": "independent", "aus": SMALL}, {"prior": "independent", "aus": TWO}),
        (
            {"prior": "independent", "aus": TWO, "action_units": ["au12", "Au6"]},
            {"prior": "independent", "aus": TWO, "action_units": ["AU6", "AU12"]},
        ),
        (
            {"prior": "copula", "marginals": SMALL, "conditional": {"au6 | au12": 0.6}},
            {"prior": "copula", "marginals": TWO, "conditional": {"AU6 | AU12": 0.6}},
        ),
        (
            {
                "prior": "copula",
                "marginals": SMALL,
                "matrix": {"aus": ["au6", "au12"], "values": [[1, 0.2], [0.2, 1]]},
            },
            {
                "prior": "copula",
                "marginals": TWO,
                "matrix": {"aus": ["AU6", "AU12"], "values": [[1, 0.2], [0.2, 1]]},
            },
        ),
        (
            {"prior": "combinations", "combinations": [{"aus": {"au1": 2, "au02": [1, 3]}}]},
            {"prior": "combinations", "combinations": [{"aus": {"AU1": 2, "AU2": [1, 3]}}]},
        ),
        ({"prior": "grid", "aus": ["au1", "au4"]}, {"prior": "grid", "aus": ["AU1", "AU4"]}),
        (
            {"prior": "uniform", "active": {1: 1}, "aus": ["au1", "au4"]},
            {"prior": "uniform", "active": {1: 1}, "aus": ["AU1", "AU4"]},
        ),
        (
            {
                "prior": "independent",
                "aus": TWO,
                "rules": [
                    {"if": "au12", "then": "au6"},
                    {"exclude": ["au1", "au4"]},
                    {"cap": "au6", "at": 4},
                ],
                "quotas": {"aus": {"au12": 0.3}},
            },
            {
                "prior": "independent",
                "aus": TWO,
                "rules": [
                    {"if": "AU12", "then": "AU6"},
                    {"exclude": ["AU1", "AU4"]},
                    {"cap": "AU6", "at": 4},
                ],
                "quotas": {"aus": {"AU12": 0.3}},
            },
        ),
        (
            {"prior": "independent", "aus": TWO, "quotas": {"joint": [
                {"aus": {"au12": "3-5"}, "share": 0.2}]}},
            {"prior": "independent", "aus": TWO, "quotas": {"joint": [
                {"aus": {"AU12": "3-5"}, "share": 0.2}]}},
        ),
    ],
)  # fmt: skip
def test_small_letters_mean_the_same_prior(written, meant):
    one, other = parse_expressions(written), parse_expressions(meant)
    assert one.identity() == other.identity()
    build_prior(one)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        (
            {"prior": "independent", "aus": {"AU12": {"rate": 0.5}, "au12": {"rate": 0.4}}},
            "expressions: aus: AU12 and au12 are the same; leave one out",
        ),
        (
            {"prior": "copula", "marginals": TWO, "joint": {"AU6+AU12": 0.1, "au6+AU12": 0.2}},
            "expressions: joint: AU6+AU12 and au6+AU12 are the same; leave one out",
        ),
        (
            {"prior": "grid", "aus": ["AU1", "au1"]},
            "expressions: aus holds a value twice: AU1, AU1",
        ),
    ],
)
def test_an_au_that_stands_there_in_two_ways_is_refused(section, sentence):
    with pytest.raises(ConfigError) as caught:
        parse_expressions(section)
    assert str(caught.value) == sentence


def test_a_run_with_small_letters_is_the_same_run():
    path = "examples/drawn-faces.yaml"
    small = load_config(path, ["verify.policy.per_au_tolerance={au25: null, AU01: 2}"])
    large = load_config(path, ["verify.policy.per_au_tolerance={AU25: null, AU1: 2}"])
    assert small == large
    assert small.run_id() == large.run_id()
