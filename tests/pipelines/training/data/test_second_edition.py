"""Data of the second edition of the drawings: 18 AUs, people drawn evenly; the first unchanged."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.procedural import random_identity, render
from pipelines.procedural.expression import DRAWN_AUS
from pipelines.training.data.captions import describe
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.drawing import draw_person
from pipelines.training.data.examples import HELD_OUT, ProceduralExamples
from synthgen.action_units import AUS, FACS


def data(**changes):
    kinds = [{"share": 0.5, "rate": "emotions"}, {"share": 0.5, "rate": 0.6}]
    given = {"source": "procedural", "size": 64, "expressions": kinds}
    return ProceduralData.model_validate({**given, **changes})


def test_new_keys_at_their_defaults_are_not_stored_and_change_nothing():
    first = data()
    assert not {"edition", "aus", "even"} & first.model_dump().keys()
    examples = ProceduralExamples(first, 3)
    assert examples.action_units.names == AUS
    assert examples.identity(4) == random_identity(4)
    assert examples.fingerprint == {"renderer": "2"}


def test_the_second_edition_draws_and_labels_eighteen_aus():
    examples = ProceduralExamples(data(edition=2, aus="drawn", expression_words=1.0), 3)
    aus = np.stack([examples.aus(index) for index in range(300)])
    assert aus.shape == (300, 18)
    assert (aus > 0).any(axis=0).all()
    shown = {name: aus[:, place] > 0 for place, name in enumerate(DRAWN_AUS.names)}
    for one, other in (("AU5", "AU43"), ("AU24", "AU25"), ("AU24", "AU26")):
        assert not (shown[one] & shown[other]).any()
    assert examples.identity(0).edition == 2
    assert examples.fingerprint == {"renderer": "5"}
    alone = render(examples.identity(5), aus[5].tolist(), 64)
    assert alone.tobytes() == examples.image(5).tobytes()
    told = " ".join(examples.caption(index) for index in range(300))
    assert FACS["AU14"] in told
    assert FACS["AU43"] in told


@pytest.mark.parametrize("name", DRAWN_AUS.names)
def test_each_au_can_be_told(name):
    told = {
        describe(random_identity(1), s, DRAWN_AUS.vector({name: 3}), DRAWN_AUS) for s in range(40)
    }
    assert any(FACS[name] in caption for caption in told)
    assert not all(FACS[name] in caption for caption in told)


def test_the_twelve_may_be_learned_from_the_second_edition():
    examples = ProceduralExamples(data(edition=2), 3)
    assert examples.aus(0).shape == (12,)
    assert examples.image(0).size == (64, 64)


def test_eighteen_aus_of_the_first_edition_are_refused():
    with pytest.raises(ValidationError) as caught:
        data(aus="drawn")
    assert "aus is 'drawn', but edition 1 draws the 12 of DISFA; set edition: 2" in str(
        caught.value
    )


def test_people_are_drawn_evenly_in_their_share():
    faces = data(edition=2, even=1.0)
    people = [draw_person(faces, 5, "test", n, HELD_OUT + n) for n in range(600)]
    hair = Counter(one.hair for one in people if one.age == "young")
    assert min(hair.values()) > 0.6 * max(hair.values())
    assert min(Counter(one.glasses for one in people).values()) > 0.8 * 300
    assert {one.beard for one in people if one.person == "woman"} == {"none"}
    half = data(edition=2, even=0.5)
    same = [draw_person(half, 5, "test", n, n) == random_identity(n, edition=2) for n in range(200)]
    assert 0.35 < np.mean(same) < 0.65
