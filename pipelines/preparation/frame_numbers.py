"""Frames of videos and numbers of labels: which belongs to which, decided by the files.

Some copies of DISFA number frames from 0, others from 1, and pictures that were cut out of its
videos are numbered by whoever cut them. The *shift* is a label's number less the picture's; the
frames of a video count from 0. All subjects of a copy have one shift.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from synthgen.errors import DatasetError
from synthgen.foreign import counted, first_few

SHIFTS = (0, 1, -1)
"""Shifts that are thought of."""

SLACK = 1
"""Frames by which a subject's labels and pictures may differ, each way: some videos of DISFA have a
frame more than labels."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Frames:
    """Numbers of a subject's frames.

    Attributes:
        labels: numbers that are labelled, ascending.
        pictures: numbers of the pictures, ascending; of a video 0, 1, ….
        whole: whether there is a picture of each frame, as in a video; of a folder some may have
            been left out.
    """

    labels: Int64[np.ndarray, " labels"]
    pictures: Int64[np.ndarray, " pictures"]
    whole: bool


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Frames and labels that go together.

    Attributes:
        shift: a label's number less its picture's.
        why: how it was found, a sentence.
    """

    shift: int
    why: str


def reconcile(subjects: Mapping[str, Frames], shift: int | None = None) -> Reconciled:
    """Find the shift of a copy, and refuse subjects whose counts do not fit it.

    Args:
        subjects: subject → its frames; those that have both labels and pictures.
        shift: the shift, where the user knows it.

    Raises:
        DatasetError: if subjects show different shifts, none shows one, or a subject has more
            frames without a label, or more labels without a frame, than `SLACK`.
    """
    if shift is None:
        found = _found(subjects)
    else:
        found = Reconciled(shift, f"the shift {shift} is given by --shift")
    for subject, frames in subjects.items():
        _refuse_unlike(subject, frames, found.shift)
    return found


def _found(subjects: Mapping[str, Frames]) -> Reconciled:
    exact: dict[int, list[str]] = {}
    for subject, frames in subjects.items():
        for shift in SHIFTS:
            if np.array_equal(frames.pictures + shift, frames.labels):
                exact.setdefault(shift, []).append(subject)
    if len(exact) > 1:
        shown = " and ".join(
            f"{names[0]} ({_say(subjects[names[0]], shift)})" for shift, names in exact.items()
        )
        raise DatasetError(
            f"frames and labels of different subjects are numbered differently: {shown}; number "
            "them alike, or prepare them apart"
        )
    if exact:
        ((shift, names),) = exact.items()
        return Reconciled(
            shift,
            f"{_say(subjects[names[0]], shift)}: {len(names)} of {len(subjects)} subjects "
            "fit to the frame",
        )
    within = [
        shift for shift in SHIFTS if all(_is_within(frames, shift) for frames in subjects.values())
    ]
    if len(within) == 1:
        first = next(iter(subjects.values()))
        return Reconciled(
            within[0], f"{_say(first, within[0])}: with no other each picture has a label"
        )
    shown = first_few([_counts(name, one) for name, one in subjects.items()], _NAMED, "; ")
    raise DatasetError(
        f"which label belongs to which frame cannot be told from the files: {shown}; say what a "
        "label's number is less the picture's, a video's frames counted from 0 (--shift 0, 1 or -1)"
    )


def _is_within(frames: Frames, shift: int) -> bool:
    return not frames.whole and bool(np.isin(frames.pictures + shift, frames.labels).all())


def _refuse_unlike(subject: str, frames: Frames, shift: int) -> None:
    numbers = frames.pictures + shift
    unlabelled = np.setdiff1d(numbers, frames.labels)
    unseen = np.setdiff1d(frames.labels, numbers)
    if len(unlabelled) > SLACK or (frames.whole and len(unseen) > SLACK):
        raise DatasetError(
            f"{_counts(subject, frames)}: with the shift {shift}, {len(unlabelled)} frames have no "
            f"label and {len(unseen)} labels no frame, and one of each is allowed, so which label "
            "belongs to which frame cannot be told; mend the copy, take the subject out, or give "
            "another --shift"
        )


def _counts(subject: str, frames: Frames) -> str:
    labels, pictures = frames.labels, frames.pictures
    return (
        f"{subject} has {counted(len(labels), 'label')} ({_range(labels)}) and "
        f"{counted(len(pictures), 'frame')} ({_range(pictures)})"
    )


def _range(numbers: Int64[np.ndarray, " n"]) -> str:
    return f"{numbers[0]}–{numbers[-1]}" if len(numbers) else "none"


def _say(frames: Frames, shift: int) -> str:
    what = "frames of videos" if frames.whole else "pictures"
    numbers = f"labels begin at {frames.labels[0]} and {what} at {frames.pictures[0]}"
    if not shift:
        return f"{numbers}, so equal numbers belong together"
    return f"{numbers}, so a label's number is the picture's {'+' if shift > 0 else '−'} 1"
