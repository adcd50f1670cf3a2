"""Pictures that the loop is tested on, and those that are kept out of all its choices."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pipelines.recognition.examples import (
    Face,
    Selection,
    select,
    test_preference,
)
from pipelines.recognition.lesson import open_source
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import excerpt, listed


@dataclass(frozen=True, slots=True, eq=False)
class Exams:
    """The test of the loop and its holdout.

    Attributes:
        test: pictures that say what is confused, and when the loop ends.
        holdout: pictures that nothing is chosen by; None where there are none.
        share: share of the test's people that is the holdout; None where it is not cut from it.
    """

    test: Selection
    holdout: Selection | None
    share: float | None

    @classmethod
    def open(
        cls,
        test: str,
        test_split: str | None,
        holdout: str | None,
        holdout_split: str | None,
        categories: Sequence[str],
    ) -> "Exams":
        """Look at both.

        Args:
            test: dataset or folder.
            test_split: split of it; None: test, else validation, else all there is.
            holdout: dataset or folder, or the share of the test's people that it takes.
            holdout_split: likewise.
            categories: those that are made.

        Raises:
            ConfigError: if they share pictures, or an option is without its meaning.
            DatasetError: if there is no such thing, or one has no picture of the categories.
        """
        tested = _selected(test, test_split, "--test-split")
        share = _share_of(holdout)
        if share is not None or holdout is None:
            if holdout_split is not None:
                raise ConfigError(
                    f"--holdout-split {holdout_split} needs a --holdout that is a dataset or a "
                    "folder"
                )
            held = None
            if share is not None:
                out = [is_held_out(face, share) for face in tested.faces()]
                held = tested.only(out)
                tested = tested.only([not one for one in out])
        else:
            held = _selected(holdout, holdout_split, "--holdout-split")
            if _overlap(tested, held):
                raise ConfigError(
                    f"--holdout {excerpt(holdout)} holds pictures of --test (split "
                    f"{tested.split}); choose another one, another split, or a share of the people "
                    "such as 0.3"
                )
        for one, option in ((tested, "--test"), (held, "--holdout")):
            if one is not None:
                _refuse_foreign(one, option, categories)
        return cls(tested, held, share)

    def tested(self) -> Callable[[Face], bool] | None:
        """Return whether a picture of the test's split is tested on; None: each is."""
        share = self.share
        return None if share is None else lambda face: not is_held_out(face, share)

    def refuse_learned(self, learned: Sequence[Selection]) -> None:
        """Refuse a holdout that is learned from.

        Raises:
            ConfigError: naming both.
        """
        for one in learned:
            if self.holdout is not None and _overlap(one, self.holdout):
                raise ConfigError(
                    f"--holdout holds pictures that are learned ({one.source.name}, split "
                    f"{self.holdout.split}); choose another one, or --holdout-split"
                )


def is_held_out(face: Face, share: float) -> bool:
    """Return whether a face belongs to the holdout: by a hash of its person, or else its name."""
    digest = sha256((face.person or face.name).encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def count_categories(selection: Selection) -> dict[str, int]:
    """Return category → pictures."""
    return dict(Counter(face.category for face in selection.faces() if face.category))


def summary_of(selection: Selection) -> dict[str, object]:
    """Return what the ledger tells of some pictures."""
    faces = selection.faces()
    return {
        "name": selection.source.name,
        "kind": selection.source.kind,
        "split": selection.split,
        "pictures": len(faces),
        "people": len({face.person for face in faces if face.person}),
        "categories": count_categories(selection),
        "checksum": selection.source.checksum,
    }


def _selected(place: str, split: str | None, option: str) -> Selection:
    source = open_source(place)
    return select(source, (split,) if split else test_preference(source), option)


def _share_of(holdout: str | None) -> float | None:
    if holdout is None:
        return None
    try:
        share = float(holdout)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise ConfigError(
            f"--holdout {excerpt(holdout)} must be a share of the people of --test between 0 and "
            "1, or a dataset or folder"
        )
    return share


def _overlap(one: Selection, other: Selection) -> bool:
    same = one.source.checksum == other.source.checksum
    return same and bool(set(one.places) & set(other.places))


def _refuse_foreign(selection: Selection, option: str, categories: Sequence[str]) -> None:
    found = count_categories(selection)
    if not set(found) & set(categories):
        raise DatasetError(
            f"{option} {selection.source.name} has no picture of the categories that are made "
            f"({', '.join(categories)}); it has {listed(found) or 'none'}"
        )
