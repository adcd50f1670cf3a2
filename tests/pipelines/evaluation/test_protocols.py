"""What a protocol asks for, and in which order."""

import numpy as np
import pytest

from pipelines.evaluation.protocols import (
    ASKED_TRAITS,
    Protocol,
    au_array,
    combined_requests,
    in_words,
    neutral_requests,
    single_requests,
    unseen_prompts,
)
from pipelines.procedural import random_identity, traits_in
from pipelines.training.data.captions import describe
from synthgen.action_units import AU_COUNT
from synthgen.errors import ConfigError


@pytest.fixture(scope="module")
def prompts():
    return unseen_prompts(6, seed=4)


def test_prompts_name_their_traits_and_differ(prompts):
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    assert len({prompt.noise for prompt in prompts}) == len(prompts)
    for prompt in prompts:
        assert traits_in(prompt.text) == dict(prompt.traits)
        assert set(prompt.traits) == set(ASKED_TRAITS)


def test_more_prompts_keep_the_first_ones(prompts):
    assert unseen_prompts(9, seed=4)[:6] == prompts


def test_no_caption_is_a_prompt():
    captions = {describe(random_identity(seed=i), i) for i in range(3000)}
    assert not captions & {prompt.text for prompt in unseen_prompts(150, seed=0)}


def test_there_are_no_more_prompts_than_combinations_of_traits():
    with pytest.raises(ConfigError, match="150 different tuples of values, but samples: 151"):
        unseen_prompts(151, seed=0)


def test_single_requests_ask_for_each_au_alone_at_each_level(prompts):
    aus = au_array(single_requests(prompts, (2.0, 5.0))).reshape(
        len(prompts), AU_COUNT, 2, AU_COUNT
    )
    wanted = np.eye(AU_COUNT)[:, None] * np.array([2.0, 5.0])[:, None]
    assert (aus == wanted).all()


def test_neutral_requests_ask_for_nothing(prompts):
    requests = neutral_requests(prompts)
    assert not au_array(requests).any()
    assert [request.text for request in requests] == [prompt.text for prompt in prompts]


def test_combinations_are_drawn_from_emotions_for_each_prompt(prompts):
    protocol = Protocol(prompts=6, combinations=5)
    requests = combined_requests(prompts, protocol, seed=1)
    assert len(requests) == 30
    assert [request.prompt.number for request in requests] == [i // 5 for i in range(30)]
    aus = au_array(requests)
    assert ((aus == 0) | ((aus >= 2) & (aus <= 5))).all()
    assert aus.any(axis=1).all()
    assert len(np.unique(aus, axis=0)) == 30
    assert combined_requests(prompts, protocol, seed=1) == requests
    assert combined_requests(prompts, protocol, seed=2) != requests


def test_words_tell_the_aus_and_change_nothing_else(prompts):
    requests = single_requests(prompts[:1], (5.0,))
    told = in_words(requests, seed=3)
    assert told[6].text == f"{prompts[0].text}, maximum lip corner puller"
    assert au_array(told).tolist() == au_array(requests).tolist()
    assert [request.prompt for request in told] == [request.prompt for request in requests]
