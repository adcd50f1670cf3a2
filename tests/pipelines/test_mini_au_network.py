"""What the shipped AU network must be able to do on faces that it never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from embedded import EDITION, MEASURED

from pipelines.evaluation.statistics import agreement
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import judge
from pipelines.procedural import random_identity, render
from pipelines.training.data.config import ExpressionShare
from pipelines.training.data.drawing import draw_aus
from pipelines.training.data.examples import HELD_OUT
from samplers.priors import EmotionsPrior
from synthgen.action_units import DEFAULT_AUS
from synthgen.config import IntensityRange, load_config

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.yaml"
FACES = 1500
IDENTITIES = 2 * HELD_OUT
"""Never learned, and others than those of the card."""

PER_CATEGORY = 12


def person(seed):
    return random_identity(seed, edition=EDITION)


@pytest.fixture(scope="module")
def measure():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    verifier = LibreFaceVerifier.from_pretrained("mini")

    def measure(aus, first_identity, of=MEASURED):
        found = []
        for start in range(0, len(aus), 50):
            faces = [
                render(person(first_identity + start + i), row.tolist(), size=128)
                for i, row in enumerate(aus[start : start + 50])
            ]
            found.append(verifier.measure(faces).aus_of(of))
        return np.concatenate(found)

    yield measure
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(measure):
    kinds, span = (ExpressionShare(share=1.0, rate=0.3),), IntensityRange(low=0.5, high=5.0)
    drawn = np.stack([draw_aus(11, "test/mini", i, kinds, span, MEASURED) for i in range(FACES)])
    return agreement(drawn, measure(drawn, IDENTITIES), MEASURED)


@pytest.fixture(scope="module")
def policy():
    return load_config(QUICKSTART).verify.checks[0].policy


@pytest.fixture(scope="module")
def emotions(measure):
    """Category → (requested, measured) of faces that show it."""
    prior = EmotionsPrior.from_config(load_config(QUICKSTART).expressions)
    shown = {}
    for number, name in enumerate(prior.categories):
        numbers = np.random.default_rng(number).random((PER_CATEGORY, prior.width))
        aus = prior.draw(np.full(PER_CATEGORY, number), numbers)
        first = IDENTITIES + FACES + number * PER_CATEGORY
        shown[name] = aus, measure(aus, first, DEFAULT_AUS)
    return shown


def test_every_au_of_unseen_faces_is_measured(measured):
    correlations = {name: round(au.pearson_r, 4) for name, au in measured.items()}
    assert min(correlations.values()) >= 0.97, correlations


def test_measurements_are_near_and_not_shifted(measured):
    errors = {name: (round(au.mae, 3), round(au.bias, 3)) for name, au in measured.items()}
    assert all(mae < 0.3 and abs(bias) < 0.1 for mae, bias in errors.values()), errors


def test_absent_aus_are_measured_near_zero(measured):
    highs = {name: round(au.inactive_high, 3) for name, au in measured.items()}
    assert max(highs.values()) < 1.0, highs


def test_faces_that_show_what_was_asked_for_are_accepted(emotions, policy):
    verdicts = [
        judge(asked, found, 1, policy)
        for requested, measured in emotions.values()
        for asked, found in zip(requested, measured, strict=True)
    ]
    missed = [verdict.detail for verdict in verdicts if not verdict.accepted]
    assert len(missed) <= 0.1 * len(verdicts), missed


@pytest.mark.parametrize(
    "asked_for", ["happy", "sad", "surprised", "fearful", "angry", "disgusted"]
)
def test_neutral_faces_and_those_of_other_categories_are_refused(asked_for, emotions, policy):
    requested, _ = emotions[asked_for]
    others = [(name, found) for name, (_, found) in emotions.items() if name != asked_for]
    assert others[0][0] == "neutral"
    for shown, measured in others:
        for asked in requested:
            for found in measured:
                verdict = judge(asked, found, 1, policy)
                assert not verdict.accepted, (shown, asked.round(1), found.round(1))


@pytest.mark.parametrize("size", [3, 5, 12])
def test_bits_depend_neither_on_the_place_in_the_batch_nor_on_the_others(size):
    verifier = LibreFaceVerifier.from_pretrained("mini")
    images = [render(person(seed), [float(seed % 4)] * 12) for seed in range(size)]
    found = verifier.measure(images).aus
    turned = verifier.measure([*images[1:], images[0]]).aus
    assert np.array_equal(np.roll(turned, 1, axis=0), found)
    assert np.array_equal(verifier.measure([images[2]] * size).aus[0], found[2])
