import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.preparation.frame_numbers import Frames, reconcile
from synthgen.errors import DatasetError


def frames(labels, pictures, whole=True):
    return Frames(np.array([*labels]), np.array([*pictures]), whole)


@pytest.mark.parametrize(
    ("first", "whole", "shift"), [(0, True, 0), (1, True, 1), (0, False, 0), (1, False, 1)]
)
def test_the_files_tell_where_labels_begin(first, whole, shift):
    found = reconcile({"SN001": frames(range(first, first + 9), range(9), whole)})
    assert found.shift == shift


def test_pictures_numbered_from_1_may_have_labels_from_0():
    found = reconcile({"SN001": frames(range(9), range(1, 10), whole=False)})
    assert (found.shift, found.why) == (
        -1,
        "labels begin at 0 and pictures at 1, so a label's number is the picture's − 1: 1 of 1 "
        "subjects fit to the frame",
    )


def test_one_subject_decides_for_another_that_has_a_frame_too_many():
    exact, more = frames(range(1, 10), range(9)), frames(range(1, 10), range(10))
    assert reconcile({"SN001": more, "SN002": exact}).shift == 1


def test_a_frame_too_many_everywhere_is_refused():
    text = (
        "which label belongs to which frame cannot be told from the files: SN001 has 9 labels "
        "(1–9) and 10 frames (0–9); say what a label's number is less the picture's, a video's "
        "frames counted from 0 (--shift 0, 1 or -1)"
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        reconcile({"SN001": frames(range(1, 10), range(10))})
    assert reconcile({"SN001": frames(range(1, 10), range(10))}, shift=1).shift == 1


def test_subjects_that_are_numbered_differently_are_refused():
    text = (
        "frames and labels of different subjects are numbered differently: SN001 (labels begin at "
        "1 and frames of videos at 0, so a label's number is the picture's + 1) and SN002 (labels "
        "begin at 0 and frames of videos at 0, so equal numbers belong together); number them "
        "alike, or prepare them apart"
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        reconcile({"SN001": frames(range(1, 5), range(4)), "SN002": frames(range(4), range(4))})


def test_counts_that_cannot_be_reconciled_are_refused():
    exact, short = frames(range(1, 10), range(9)), frames(range(1, 10), range(6))
    text = (
        "SN002 has 9 labels (1–9) and 6 frames (0–5): with the shift 1, 0 frames have no label and "
        "3 labels no frame, and one of each is allowed, so which label belongs to which frame "
        "cannot be told; mend the copy, take the subject out, or give another --shift"
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        reconcile({"SN001": exact, "SN002": short})


def test_pictures_of_some_frames_alone_need_no_more_than_their_labels():
    few = frames(range(1, 31), [0, 10, 20, 29], whole=False)
    assert reconcile({"SN001": few}).shift == 1


@given(
    st.sampled_from([0, 1, -1]),
    st.lists(st.integers(2, 40), min_size=1, max_size=5),
    st.integers(1, 7),
)
def test_a_shift_is_found_again(shift, lengths, first):
    subjects = {
        f"SN{place:03d}": frames(range(first + shift, first + shift + n), range(first, first + n))
        for place, n in enumerate(lengths)
    }
    assert reconcile(subjects).shift == shift
