"""Labels that are learned: requested, measured, soft; and which faces are taken."""

import numpy as np
import pytest
from tiny_recognition import make_faces, make_folder

from pipelines.recognition.examples import Selection, category_order, select, test_preference
from pipelines.recognition.folders import PictureFolder
from pipelines.recognition.labels import LEAST_ERROR, Vocabulary, posterior, targets
from pipelines.recognition.synthetic import SyntheticFaces
from synthgen.errors import ConfigError, DatasetError

test_preference.__test__ = False


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Selection:
    source = SyntheticFaces(str(make_faces(tmp_path_factory.mktemp("faces") / "tiny")))
    return select(source, ("train",), "--split")


def measured_as(selection: Selection, *vectors: tuple[float, ...] | None) -> Selection:
    """Return the selection's first faces as if they had been measured so."""
    source = selection.source
    changed = [
        face._replace(measured=None if vector is None else np.array(vector, np.float32))
        for face, vector in zip(source.faces, vectors, strict=False)
    ]
    other = object.__new__(SyntheticFaces)
    vars(other).update({**vars(source), "faces": changed})
    return Selection(other, "train", tuple(range(len(vectors))))


def test_a_dataset_is_read_with_its_labels(faces):
    first = faces.faces()[1]
    assert (first.name, first.category, first.person) == (
        "sample-00000001",
        "happy",
        "identity-000000",
    )
    assert first.aus[6] == 4
    assert first.measured[6] == 3
    assert [face.split for face in faces.source.faces] == ["train"] * 24 + ["test"] * 9


def test_each_kind_of_label_says_its_own(faces):
    names = Vocabulary.of([faces], with_aus=True)
    assert names.categories == ("neutral", "happy", "sad")
    requested = targets(faces, names, "requested")
    assert requested.categories[:3].tolist() == np.eye(3).tolist()
    assert requested.aus[1, 6] == 4
    measured = targets(faces, names, "measured")
    assert measured.categories[:3].tolist() == np.eye(3).tolist()
    assert measured.aus[1, 6] == 3
    soft = targets(faces, names, "soft")
    assert soft.categories.sum(1) == pytest.approx(np.ones(24))
    assert soft.categories[1].argmax() == 1
    assert soft.aus[1, 6] == 3


def test_the_posterior_is_bayes_rule_as_by_hand(faces):
    # neutral asks for nothing, happy for AU12 = 4, and both faces were measured between them.
    nothing = (0.0,) * 12
    between = (0.0,) * 6 + (2.5,) + (0.0,) * 5
    chosen = measured_as(faces, nothing, between)
    shares = posterior(chosen, ("neutral", "happy"))
    spread = max(np.sqrt((0 + 1.5**2) / 2), LEAST_ERROR)
    kernels = np.exp(-0.5 * (np.array([2.5, 1.5]) / spread) ** 2)
    assert shares[1] == pytest.approx(kernels / kernels.sum(), rel=1e-5)


def test_a_face_that_was_not_measured_says_nothing_but_what_was_asked(faces):
    chosen = measured_as(faces, (0.0,) * 12, None)
    names = Vocabulary.of([chosen], with_aus=True)
    assert targets(chosen, names, "measured").said().tolist() == [True, False]
    assert targets(chosen, names, "requested").said().tolist() == [True, True]


def test_a_dataset_without_a_check_has_no_measured_labels(tmp_path):
    source = SyntheticFaces(str(make_faces(tmp_path / "tiny", checked=False)))
    chosen = select(source, ("train",), "--split")
    names = Vocabulary.of([chosen], with_aus=True)
    with pytest.raises(ConfigError) as error:
        targets(chosen, names, "soft")
    assert str(error.value) == (
        "--labels soft needs AUs that a verifier measured, and tiny has none (verify.verifier: "
        "none?); use --labels requested"
    )


def test_photographs_keep_their_one_label(tmp_path, faces):
    folder = PictureFolder(make_folder(tmp_path, 2))
    photographs = select(folder, ("all",), "--split")
    names = Vocabulary.of([faces, photographs], with_aus=True)
    found = targets(photographs, names, "soft")
    assert found.categories.sum() == 6
    assert np.isnan(found.aus).all()


def test_limits_are_nested_and_a_function_of_the_seed(faces):
    few, more = faces.limited(5, 1), faces.limited(12, 1)
    assert len(few.places) == 5
    assert set(few.places) < set(more.places)
    assert list(few.places) == sorted(few.places)
    assert few.places != faces.limited(5, 2).places
    assert faces.limited(100, 1) is faces


def test_the_split_to_test_on_is_never_a_guess(faces, tmp_path):
    assert test_preference(faces.source) == ("test", "validation")
    assert test_preference(PictureFolder(make_folder(tmp_path, 1)))[-1] == "all"
    with pytest.raises(DatasetError) as error:
        select(faces.source, ("dev",), "--test-split")
    assert str(error.value) == (
        "tiny has no split dev; --test-split takes one of 'train', 'test', 'all'"
    )


def test_categories_stand_in_the_order_of_all_datasets():
    assert category_order(["pain", "angry", "awed", "neutral"]) == (
        "neutral", "angry", "awed", "pain",
    )  # fmt: skip


@pytest.mark.parametrize("labels", ["requested", "measured", "soft"])
def test_a_dataset_without_categories_teaches_its_aus(faces, labels):
    names = Vocabulary((), faces.source.aus)
    found = targets(faces, names, labels)
    assert found.categories.shape == (24, 0)
    assert found.said().all()


def test_one_category_alone_is_nothing_to_learn(tmp_path):
    folder = make_folder(tmp_path, 1)
    for word in ("Sadness", "happiness"):
        (folder / word / "0.png").unlink()
    chosen = select(PictureFolder(folder), ("all",), "--split")
    with pytest.raises(ConfigError) as error:
        Vocabulary.of([chosen], with_aus=True)
    assert str(error.value) == (
        "1 category is too few to learn; a recogniser needs two at least, or AUs"
    )
