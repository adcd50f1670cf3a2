from importlib.resources import files

import numpy as np
import pytest

from samplers import load_prior
from samplers.priors.independent import BUILT_IN
from synthgen.action_units import AUS
from synthgen.errors import ConfigError


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_prior_is_drawn_as_announced(name):
    prior = load_prior({"prior": "builtin", "name": name})
    vectors = prior.sample(50_000, seed=0)
    assert np.abs((vectors != 0).mean(axis=0) - prior.rates()).max() < 0.01
    assert vectors[vectors != 0].min() >= 1


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_prior_names_its_source(name):
    text = files("samplers.priors").joinpath(f"{name}.yaml").read_text("utf-8")
    assert "# Source: " in text


def test_disfa_rates_are_those_reported():
    prior = load_prior({"prior": "builtin", "name": "disfa-rates"})
    rates = dict(zip(AUS, prior.rates().tolist(), strict=True))
    assert rates["AU12"] == 0.235
    assert rates["AU5"] == 0.021


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(ConfigError) as caught:
        load_prior({"prior": "builtin", "name": "bp4d"})
    assert str(caught.value) == (
        "expressions.name: there is no built-in prior 'bp4d'; those that exist: disfa-rates, "
        "cohn-kanade-rates"
    )
