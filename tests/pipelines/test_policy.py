import math
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.libreface.check import accepted, errors, judge
from pipelines.libreface.section import ActionUnitPolicy, LibreFaceCheck, LibreFacePolicy
from pipelines.policy import Verdict, joined
from samplers.priors.emotions import prototype_table
from synthgen.action_units import AU_COUNT, AUS, DEFAULT_AUS, au_vector

CATEGORIES = ("neutral", "happy", "sad", "surprised", "fearful", "angry", "disgusted")
QUICKSTART = ActionUnitPolicy(
    max_active_error=1.0, max_inactive=1.0, per_au_tolerance={"AU20": 2.0}
)
STRICT = ActionUnitPolicy()

intensities = st.floats(0, 5, width=32)
vectors = st.lists(intensities, min_size=AU_COUNT, max_size=AU_COUNT).map(np.array)
policies = st.builds(
    LibreFacePolicy,
    max_active_error=st.none() | st.floats(0, 5),
    max_each_error=st.none() | st.floats(0, 5),
    max_inactive=st.none() | st.floats(0, 5),
    min_active=st.none() | st.floats(0, 5),
    per_au_tolerance=st.dictionaries(st.sampled_from(AUS), st.none() | st.floats(0, 5)),
)


def sums(requested, measured):
    return errors(au_vector(requested), np.array(au_vector(measured), np.float32))


def verdict(requested, measured, policy=STRICT, faces=1):
    return judge(au_vector(requested), np.array(au_vector(measured), np.float32), faces, policy)


requests = st.lists(
    st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0]) | intensities, min_size=12, max_size=12
)


@given(st.data(), policies, st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=150, deadline=None)
def test_many_faces_are_accepted_for_many_requests_as_each_is_judged(data, policy, few, faces):
    asked = np.array(data.draw(st.lists(requests, min_size=few, max_size=few)), np.float32)
    found = np.array(data.draw(st.lists(requests, min_size=faces, max_size=faces)), np.float32)
    edges = [np.float32(bound or 0) for bound in (policy.max_active_error, policy.max_each_error)]
    found = np.vstack([found, asked, *(np.clip(asked + edge, 0, 5) for edge in edges)])
    each = [[judge(row, face, 1, policy).accepted for face in found] for row in asked]
    assert accepted(asked, found, policy).tolist() == each
    section = LibreFaceCheck(name="libreface", policy=policy)
    assert section.accepts(asked, found, DEFAULT_AUS).tolist() == each


def test_requests_out_of_range_are_clipped_before_faces_are_accepted_for_them():
    asked = np.full((1, 12), 7.0)
    assert accepted(asked, np.full((1, 12), 4.5), STRICT).tolist() == [[True]]
    assert accepted(-asked, np.zeros((1, 12)), STRICT).tolist() == [[True]]


def test_image_that_keeps_every_bound_is_accepted():
    asked, found = {"AU12": 4.0, "AU25": 2.0}, {"AU12": 3.5, "AU25": 2.0, "AU1": 0.75}
    assert verdict(asked, found) == Verdict(True, None, "", 0.0)
    assert sums(asked, found) == (0.25, 0.75)


def test_no_face_is_rejected_even_by_the_widest_policy():
    policy = ActionUnitPolicy(per_au_tolerance=dict.fromkeys(AUS))
    found = judge(np.zeros(12), np.full(12, np.nan, np.float32), 0, policy)
    assert found == Verdict(False, "no_face", "no face was found", math.inf)


def test_measurement_that_is_no_number_is_a_defect_not_a_verdict():
    with pytest.raises(ValueError, match="a face was found, but its AUs are measured as"):
        judge(np.zeros(12), np.full(12, np.nan, np.float32), 1, STRICT)


def test_error_of_an_attempt_is_a_verdict():
    assert Verdict.error("ValueError: x") == Verdict(False, "error", "ValueError: x", math.inf)


def test_the_first_check_that_rejects_says_why_and_distances_add_up():
    one, other = Verdict.reject("inactive", "AU1", 1.0), Verdict.reject("identity", "p9", 2.5)
    assert joined([Verdict.accept(), one, other]) == Verdict(False, "inactive", "AU1", 3.5)
    assert joined([other, one]) == Verdict(False, "identity", "p9", 3.5)
    assert joined([Verdict.accept()]) == joined([]) == Verdict(True, None, "", 0.0)


def test_mean_error_over_the_active_aus_is_bounded():
    asked, measured = {"AU6": 3.0, "AU12": 4.0}, {"AU6": 1.0, "AU12": 3.0}
    found = verdict(asked, measured)
    assert (found.accepted, found.reason) == (False, "active_error")
    assert sums(asked, measured)[0] == 1.5
    assert found.detail == (
        "the mean error of the AUs asked for is 1.50, at most 1 is allowed; "
        "AU6 is worst: 1.00 where 3.00 was asked for"
    )
    assert found.distance == 0.5


def test_each_au_that_is_asked_for_is_bounded_where_the_policy_says_so():
    asked = {"AU1": 3.0, "AU2": 2.0, "AU6": 3.0, "AU12": 4.0}
    measured = {"AU1": 3.0, "AU2": 3.75, "AU6": 1.0, "AU12": 4.0}
    assert verdict(asked, measured).accepted
    policy = ActionUnitPolicy(max_each_error=1.5)
    found = verdict(asked, measured, policy)
    assert (found.reason, found.distance) == ("each_error", 0.75)
    assert found.detail == (
        "AU6 is 1.00 where 3.00 was asked for; each AU asked for may be off by at most 1.5"
    )
    assert verdict(asked, {**measured, "AU2": 3.5, "AU6": 1.5}, policy).accepted


def test_bound_on_each_error_leaves_aus_alone_that_are_not_asked_for_or_have_a_tolerance():
    policy = ActionUnitPolicy(max_each_error=0.5, per_au_tolerance={"AU20": 2.0, "AU6": None})
    asked, found = {"AU12": 4.0, "AU20": 4.0, "AU6": 5.0}, {"AU12": 4.5, "AU20": 2.0, "AU4": 1.0}
    assert verdict(asked, found, policy).accepted


def test_mean_error_is_told_before_that_of_each_au_and_both_count():
    policy = ActionUnitPolicy(max_active_error=1, max_each_error=1)
    found = verdict({"AU6": 3.0, "AU12": 4.0}, {"AU6": 1.0, "AU12": 2.5, "AU4": 1.5}, policy)
    assert (found.reason, found.distance) == ("active_error", 0.75 + 1.0 + 0.5 + 0.5)


def test_inactive_au_is_bounded():
    measured = {"AU12": 4.0, "AU4": 1.5, "AU9": 1.25}
    found = verdict({"AU12": 4.0}, measured)
    assert (found.reason, found.distance) == ("inactive", 0.5)
    assert sums({"AU12": 4.0}, measured) == (0.0, 1.5)
    assert found.detail == "AU4 is 1.50 without being asked for; at most 1 is allowed"


def test_au_that_is_asked_for_must_be_there():
    found = verdict({"AU12": 5.0, "AU25": 1.0}, {"AU12": 5.0, "AU25": 0.25})
    assert found.reason == "missing_au"
    assert found.detail == "AU25 is 0.25 where 1.00 was asked for; the least allowed is 0.5"
    assert found.distance == 0.25


def test_trace_below_one_may_be_missing():
    assert verdict({"AU12": 5.0, "AU25": 0.99}, {"AU12": 5.0}).accepted


def test_tolerance_replaces_every_other_bound_of_its_au():
    policy = ActionUnitPolicy(per_au_tolerance={"AU20": 2.0})
    assert verdict({"AU20": 2.0}, {"AU20": 0.0}, policy).accepted
    assert verdict({}, {"AU20": 2.0}, policy).accepted
    found = verdict({"AU20": 2.5}, {"AU20": 0.25}, policy)
    assert (found.reason, found.distance) == ("au_tolerance", 0.25)
    assert found.detail == "AU20 is 0.25 where 2.50 was asked for; the tolerance is 2"


def test_null_tolerance_means_not_judged_but_still_reported():
    policy = ActionUnitPolicy(per_au_tolerance={"AU20": None, "AU6": None})
    assert verdict({"AU20": 5.0}, {"AU6": 5.0}, policy).accepted
    assert sums({"AU20": 5.0}, {"AU6": 5.0}) == (5.0, 5.0)


def test_requests_are_clipped_before_they_are_compared():
    assert sums({"AU12": 9.0, "AU5": -4.0}, {"AU12": 4.5, "AU5": 0.75}) == (0.5, 0.75)


def test_neutral_request_has_no_active_error_and_full_request_no_inactive_maximum():
    assert sums({}, {}) == (None, 0.0)
    full = np.full(12, 3.0)
    assert errors(full, full) == (0.0, None)


@given(vectors, policies)
def test_exact_measurement_is_accepted_when_nothing_is_below_the_least(aus, policy):
    asked = np.where((aus >= 1) & (aus < (policy.min_active or 0)), 5.0, aus)
    assert judge(asked, asked, 1, policy).accepted


@given(vectors, vectors, policies, st.floats(0, 5))
def test_bound_on_each_error_refuses_those_images_alone_that_miss_it(asked, found, policy, bound):
    without = policy.model_copy(update={"max_each_error": None})
    bounded = policy.model_copy(update={"max_each_error": bound})
    judged = (asked > 0) & np.array([name not in policy.per_au_tolerance for name in AUS])
    kept = judge(asked, found, 1, without).accepted
    within = bool((np.abs(asked - found)[judged] <= bound).all())
    assert judge(asked, found, 1, bounded).accepted == (kept and within)


@given(vectors, vectors, policies)
def test_accepted_no_reason_and_no_distance_are_the_same(asked, found, policy):
    said = judge(asked, found, 1, policy)
    assert said.accepted == (said.reason is None) == (said.detail == "") == (said.distance == 0)
    assert 0 <= said.distance < math.inf


@given(vectors, vectors)
def test_widening_the_bounds_never_rejects_what_was_accepted(asked, found):
    narrow = ActionUnitPolicy(max_active_error=0.5, max_inactive=0.5, min_active=1.0)
    assert not judge(asked, found, 1, narrow).accepted or judge(asked, found, 1, STRICT).accepted


def variant_sets(category):
    """Each set of AUs that shows a category: its prototype with any of its variants."""
    if category == "neutral":
        return [frozenset()]
    prototype = prototype_table()[category]
    some = [frozenset(v) for n in range(9) for v in combinations(prototype.variants, n)]
    return [frozenset(prototype.shown) | variants for variants in some]


def vector(aus, values):
    return np.array(
        [value if name in aus else 0.0 for name, value in zip(AUS, values, strict=True)]
    )


shows = {category: st.sampled_from(variant_sets(category)) for category in CATEGORIES}
twelve = st.lists(st.floats(2, 5), min_size=AU_COUNT, max_size=AU_COUNT)
noises = st.lists(st.floats(-0.3, 0.3), min_size=AU_COUNT, max_size=AU_COUNT)


@pytest.mark.parametrize(("asked", "shown"), list(permutations(CATEGORIES, 2)))
def test_face_of_another_category_is_refused_in_the_nearest_case(asked, shown):
    # Nearest: what both show is measured exactly, what only one shows is as weak as it may be, and
    # the noise of 0.3 hides the difference.
    for requested_aus, shown_aus in product(variant_sets(asked), variant_sets(shown)):
        requested = vector(requested_aus, [2.0] * AU_COUNT)
        error = vector(requested_aus, [-2.0] * AU_COUNT) + vector(shown_aus, [2.0] * AU_COUNT)
        measured = requested + np.sign(error) * np.maximum(np.abs(error) - 0.3, 0)
        assert not judge(requested, measured, 1, QUICKSTART).accepted, (requested_aus, shown_aus)


@given(st.sampled_from(list(permutations(CATEGORIES, 2))), st.data())
@settings(max_examples=300)
def test_face_of_another_category_is_refused(pair, data):
    asked, shown = (data.draw(shows[category]) for category in pair)
    requested = vector(asked, data.draw(twelve))
    measured = np.clip(vector(shown, data.draw(twelve)) + data.draw(noises), 0, 5)
    assert not judge(requested, measured, 1, QUICKSTART).accepted


@given(st.sampled_from(CATEGORIES).flatmap(shows.get), twelve, noises)
def test_face_that_shows_the_request_is_accepted(aus, values, noise):
    requested = vector(aus, values)
    assert judge(requested, np.clip(requested + noise, 0, 5), 1, QUICKSTART).accepted
