"""Tables of emotion labels, and the prior that is fitted to their shares."""

import pytest
import yaml

from samplers import load_prior
from samplers.priors.fit import write_fit
from samplers.priors.labels import Reading, open_labels
from samplers.priors.labels.emotions import read_emotions
from synthgen.action_units import ActionUnitSet
from synthgen.errors import ConfigError, LabelsError

AFFECTNET = "subDirectory_filePath,face_x,facial_landmarks,expression,valence,arousal\n" + "".join(
    f"1/{number}.jpg,90,1.0;2.0,{code},0.1,0.2\n"
    for number, code in enumerate([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 10])
)
FER2013 = "emotion,pixels,Usage\n" + "".join(
    f"{code},12 13 14,Training\n" for code in [0, 1, 2, 3, 3, 4, 5, 6, 6, 6]
)
WORDS = "image,label\na,Happiness\nb,anger\nc,sadly_angry\nd,confused\ne,\nf,joy\n"
NO_INTENSITIES = (
    "the labels tell no intensities: those of the prior emotions hold, 2 to 5, unless its key "
    "intensity says others"
)


@pytest.fixture
def write(tmp_path):
    def _write(text, name="labels.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return _write


def refused(*arguments):
    with pytest.raises(LabelsError) as caught:
        read_emotions(*arguments)
    return str(caught.value)


def test_affectnets_numbers_are_its_categories(write):
    labels = read_emotions(write(AFFECTNET))
    assert labels.counts == {
        "neutral": 2, "happy": 3, "sad": 1, "fearful": 1, "angry": 1, "surprised": 1,
        "disgusted": 1,
    }  # fmt: skip
    assert labels.rows == 10
    assert labels.notes == (
        "labels.csv: column expression holds numbers, read as AffectNet's: 0 neutral, 1 happy, 2 "
        "sad, 3 surprised, 4 fearful, 5 disgusted, 6 angry, 7 contempt, 8 none, 9 uncertain, 10 no "
        "face; --format fer2013 reads FER2013's",
        "labels.csv: contempt: 2 rows left out: it is R12+R14, one-sided, and an AU vector has one "
        "intensity for both sides",
        "labels.csv: no face (10): 2 rows left out: no category of the prior emotions",
        "labels.csv: none (8): 1 row left out: no category of the prior emotions",
        "labels.csv: uncertain (9): 1 row left out: no category of the prior emotions",
    )


def test_fer2013s_numbers_have_another_order(write):
    labels = read_emotions(write(FER2013))
    assert labels.counts == {
        "neutral": 3, "happy": 2, "sad": 1, "fearful": 1, "angry": 1, "surprised": 1,
        "disgusted": 1,
    }  # fmt: skip
    assert labels.how == "column emotion (FER2013's numbers)"
    bare = write(FER2013.replace("pixels,", "image,"))
    assert read_emotions(bare).counts == labels.counts


def test_words_are_categories_or_nouns(write):
    labels = read_emotions(write(WORDS))
    assert labels.counts == {"happy": 2, "angry": 1, "sadly angry": 1}
    assert labels.notes == (
        "labels.csv: confused: 1 row left out: no category of the prior emotions",
        "labels.csv: 1 row left out: no label",
    )
    assert read_emotions(write(WORDS), missing=["anger"]).counts == {"happy": 2, "sadly angry": 1}


def test_of_several_columns_words_come_before_numbers_of_nobody(write):
    labels = read_emotions(write("image,emotion,emotion_name\na,1,happy\nb,0,neutral\n"))
    assert labels.counts == {"neutral": 1, "happy": 1}
    assert labels.how == "column emotion_name"


def test_tables_of_a_folder_are_counted_together(write, tmp_path):
    write(WORDS, "a.csv")
    write(WORDS, "b.csv")
    assert read_emotions(tmp_path).counts["happy"] == 4
    write(FER2013, "c.csv")
    assert refused(tmp_path) == (
        f"{tmp_path}: the tables of one folder must be alike, and these are column emotion "
        "(FER2013's numbers) and column label; read them apart"
    )


@pytest.mark.parametrize(
    ("text", "layout", "message"),
    [
        (
            "image,label\na,0\nb,3\n",
            "emotions",
            ": column label holds numbers, and AffectNet and FER2013 number emotions differently; "
            "say whose they are (--format affectnet or fer2013), or write words",
        ),
        (
            FER2013,
            "affectnet",
            " has columns of FER2013's table (pixels, usage), whose numbers are not AffectNet's; "
            "say --format fer2013",
        ),
        (
            AFFECTNET,
            "fer2013",
            " has columns of AffectNet's table (arousal, facial_landmarks, subdirectory_filepath, "
            "valence), whose numbers are not FER2013's; say --format affectnet",
        ),
        (
            "image,AU1\na,0\n",
            "emotions",
            ", line 1: no column holds emotions; format 'emotions' wants one of expression, "
            "emotion, emotion_name, expression_name, facial_expression, label, emotion_label, "
            "category, class",
        ),
        ("label\nreal\nfake\n", "emotions", ": no row of column label names an emotion of the "
         "prior emotions; it holds 'real', 'fake'"),
        ("image,label\na\n", "emotions", ", line 2: 1 values, and line 1 names 2 columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(write, text, layout, message):
    path = write(text)
    assert refused(path, layout) == f"{path}{message}"


def test_numbers_of_any_column_are_read_as_the_user_says(write):
    path = write("image,label\na,0\nb,3\n")
    assert read_emotions(path, "affectnet").counts == {"neutral": 1, "surprised": 1}
    assert read_emotions(path, "fer2013").counts == {"happy": 1, "angry": 1}


def test_a_fit_is_the_prior_of_these_shares(write, tmp_path):
    fit = write_fit(write(AFFECTNET), "emotions", tmp_path / "prior.yaml")
    assert (fit.rows, fit.warnings[-1]) == (10, NO_INTENSITIES)
    section = yaml.safe_load((tmp_path / "prior.yaml").read_text())
    assert section["categories"]["happy"] == 0.3
    assert section["source"].startswith(
        "shares of 10 rows of labels.csv; column expression (AffectNet's numbers), 1 file, sha256 "
    )
    assert load_prior(tmp_path / "prior.yaml").category_shares() == pytest.approx(
        dict(zip(section["categories"], section["categories"].values(), strict=True))
    )


def test_categories_that_look_the_same_are_told_and_allowed(write, tmp_path):
    path = write(WORDS + "g,sad\n")
    fit = write_fit(path, "emotions", tmp_path / "prior.yaml")
    assert "sad, sadly angry: the same on the 12 AUs of the prior" in fit.warnings
    assert load_prior(tmp_path / "prior.yaml").ambiguous() == (("sad", "sadly angry"),)


def test_a_fit_to_other_aus_shows_these(write, tmp_path):
    aus = ActionUnitSet.of(["AU4", "AU7", "AU12", "AU15", "AU24", "AU25"])
    write_fit(write(WORDS), "emotions", tmp_path / "prior.yaml", reading=Reading(aus=aus))
    assert load_prior(tmp_path / "prior.yaml").action_units == aus
    few = Reading(aus=ActionUnitSet.of(["AU4"]))
    with pytest.raises(ConfigError) as caught:
        write_fit(write(WORDS), "emotions", tmp_path / "few.yaml", reading=few)
    assert str(caught.value).startswith("expressions.categories: 'happy' cannot be shown: it needs")
    assert not (tmp_path / "few.yaml").exists()


def test_options_of_intensities_are_refused(write, tmp_path):
    with pytest.raises(LabelsError) as caught:
        write_fit(write(WORDS), "emotions", tmp_path / "prior.yaml", reading=Reading(scale=1))
    assert str(caught.value) == (
        "format 'emotions' holds categories and no intensities; leave --scale, --sides and "
        "--active-from out"
    )


def test_a_table_of_emotions_read_as_csv_is_led_to_them(write):
    path = write(AFFECTNET)
    with pytest.raises(LabelsError) as caught:
        open_labels(path, "csv")
    assert str(caught.value) == (
        f"{path}, line 1: no column is one of the 12 AUs; format 'csv' wants columns such as AU1 "
        "or AU01; if its column expression holds emotions, fit the prior 'emotions' to their "
        "shares (synthgen prior fit --format emotions)"
    )
