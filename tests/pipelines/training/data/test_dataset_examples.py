"""Rows of datasets as examples: folders of every kind, and what is wrong with them."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_dataset
from datasets import Dataset, DatasetDict, Features, Image, List, Value
from PIL import Image as PILImage

from pipelines.diffusion.prompts import load_tokenizer
from pipelines.fineface.weights import MINI_FOLDER
from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.data.examples import (
    DatasetExamples,
    Examples,
    examples_of,
    warn_of_cut_captions,
)
from synthgen.action_units import AUS
from synthgen.errors import DatasetError

SMILE = [0.0] * 6 + [3.0] + [0.0] * 5


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def photo(width: int = 40, height: int = 20, mode: str = "RGB") -> PILImage.Image:
    image = PILImage.new("RGB", (width, height), (200, 40, 40))
    image.paste((40, 40, 200), (width // 4, 0, 3 * width // 4, height))
    return image.convert(mode)


def rows(**changes: Any) -> Dataset:
    columns = {"image": [photo()] * 3, "prompt": ["a", "b", "c"], "aus": [SMILE] * 3}
    return Dataset.from_dict({**columns, **changes})


def saved(folder: Path, dataset: Dataset | DatasetDict) -> str:
    dataset.save_to_disk(folder / "saved")
    return str(folder / "saved")


def opened(path: str, **changes: Any) -> DatasetExamples:
    settings = {"source": "dataset", "path": path, "size": 32, **changes}
    return DatasetExamples(DatasetData.model_validate(settings))


def refusal(path: str, **changes: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        opened(path, **changes)
    return str(caught.value)


def test_a_row_is_an_example(tmp_path):
    examples = opened(saved(tmp_path, rows()))
    assert isinstance(examples, Examples)
    assert (examples.count, examples.caption(1), examples.caption(1, 7)) == (3, "b", "b")
    assert examples.aus(2).tolist() == SMILE
    assert examples.aus(2).dtype == np.float32
    image = examples.image(0)
    assert (image.mode, image.size) == ("RGB", (32, 32))
    assert image.getpixel((1, 16))[2] > 150, "the middle is kept"


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1"])
def test_other_colours_become_rgb(tmp_path, mode):
    buffer = io.BytesIO()
    photo(mode=mode).save(buffer, "TIFF")
    content = {"bytes": buffer.getvalue(), "path": None}
    features = Features(
        {"image": Image(), "prompt": Value("string"), "aus": List(Value("float32"))}
    )
    dataset = Dataset.from_dict(
        {"image": [content], "prompt": ["a"], "aus": [SMILE]}, features=features
    )
    assert opened(saved(tmp_path, dataset)).image(0).mode == "RGB"


def test_aus_may_have_a_column_each(tmp_path):
    columns = {f"{au}_r": [0.1 * i] * 3 for i, au in enumerate(AUS)}
    dataset = rows(**columns).remove_columns("aus")
    examples = opened(saved(tmp_path, dataset), aus="{au}_r")
    assert examples.aus(1) == pytest.approx([0.1 * i for i in range(12)])


def test_captions_and_aus_may_be_absent(tmp_path):
    path = saved(tmp_path, rows().remove_columns(["aus", "prompt"]))
    examples = opened(path, aus=None, caption=None)
    assert examples.caption(0) == ""
    assert np.isnan(examples.aus(0)).all()


def test_data_files_and_their_slices_are_read(tmp_path):
    (tmp_path / "files").mkdir()
    rows().to_parquet(tmp_path / "files" / "train.parquet")
    assert opened(str(tmp_path / "files"), split="train[1:]").caption(0) == "b"


def test_the_held_out_split_is_another(tmp_path):
    path = saved(tmp_path, DatasetDict(train=rows(), test=rows(prompt=["x", "y", "z"])))
    data = DatasetData(source="dataset", path=path, held_out="test", size=32)
    assert [examples_of(data, 0, held_out).caption(0) for held_out in (False, True)] == ["a", "x"]
    without = data.model_copy(update={"held_out": None})
    assert examples_of(without, 0, held_out=True).caption(0) == "a"


def test_a_generated_dataset_is_known_by_its_checksums(tmp_path):
    folder = tmp_path / "made"
    tiny_dataset.make_dataset(str(folder))
    first = opened(str(folder))
    assert first.count == 6
    assert first.caption(0) == "an old person with red hair"
    assert first.aus(0).tolist() == list(tiny_dataset.HAPPY)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert opened(str(copy)).fingerprint == first.fingerprint
    marker = copy / ".synthgen" / "shards" / "train-00001.json"
    content = json.loads(marker.read_text())
    next(iter(content["files"].values()))["sha256"] = "0" * 64
    marker.write_text(json.dumps(content))
    assert opened(str(copy)).fingerprint != first.fingerprint


def _drawn():
    return ProceduralData.model_validate(
        {"source": "procedural", "expressions": [{"share": 1, "rate": 0.3}]}
    )


def test_drawn_portraits_are_known_by_their_renderer():
    assert list(examples_of(_drawn(), 0).fingerprint) == ["renderer"]


def test_a_missing_column_is_named(tmp_path):
    path = saved(tmp_path, rows())
    assert refusal(path, caption="text") == (
        f"{path} (train) has no column 'text' (data.caption); it has image, prompt, aus"
    )
    assert refusal(path, image="photo") == (
        f"{path} (train) has no column 'photo' (data.image); it has image, prompt, aus"
    )
    assert refusal(path, aus="{au}") == (
        f"{path} (train) has no column 'AU1' (data.aus); it has image, prompt, aus"
    )


def test_an_empty_dataset_is_refused(tmp_path):
    path = saved(tmp_path, rows().select([]))
    assert refusal(path) == f"the dataset {path} (train) has no rows"


def test_a_missing_dataset_is_refused(tmp_path):
    path = str(tmp_path / "none")
    assert refusal(path) == (
        f"the dataset {path} (train) cannot be opened: Couldn't find any data file at {path}"
    )


def test_a_missing_split_is_refused(tmp_path):
    path = saved(tmp_path, DatasetDict(test=rows()))
    assert refusal(path) == (
        f"the dataset {path} (train) cannot be opened: Unknown split 'train'. Should be one of "
        "['test']"
    )


@pytest.mark.parametrize(
    ("aus", "said"),
    [
        ([1.0] * 11, "the AUs are 11 numbers; they must be 12"),
        (None, "the AUs are None; they must be 12"),
        ([0.0, 5.6] + [0.0] * 10, "AU2 is 5.6; it must lie in [0, 5]"),
        ([0.0] * 11 + [-1.0], "AU26 is -1.0; it must lie in [0, 5]"),
        ([float("nan")] + [0.0] * 11, "AU1 is nan; it must lie in [0, 5]"),
        ([None] + [0.0] * 11, "AU1 is None; it must lie in [0, 5]"),
    ],
)
def test_bad_aus_name_the_row(tmp_path, aus, said):
    path = saved(tmp_path, rows(aus=[SMILE, aus, SMILE]))
    with pytest.raises(DatasetError) as caught:
        opened(path).aus(1)
    assert str(caught.value) == f"{path} (train), row 1: {said}"


def test_an_unreadable_image_names_the_row(tmp_path):
    features = Features({"image": Image(), "prompt": Value("string")})
    content = {"bytes": b"no image", "path": None}
    dataset = Dataset.from_dict({"image": [content], "prompt": ["a"]}, features=features)
    path = saved(tmp_path, dataset)
    with pytest.raises(DatasetError) as caught:
        opened(path, aus=None).image(0)
    assert str(caught.value) == (
        f"{path} (train), row 0: the image cannot be used: it is no picture of a kind that is known"
    )


def test_a_column_of_something_else_is_no_image_and_no_caption(tmp_path):
    path = saved(tmp_path, rows(image=["a.png"] * 3, prompt=[None, "b", "c"]))
    with pytest.raises(DatasetError) as caught:
        opened(path).image(0)
    assert str(caught.value) == (
        f"{path} (train), row 0: column 'image' holds str; it must hold images (datasets.Image)"
    )
    with pytest.raises(DatasetError) as caught:
        opened(path).caption(0)
    assert str(caught.value) == f"{path} (train), row 0: the caption is None; it must be text"


def test_captions_that_a_tokenizer_cuts_are_counted(tmp_path, caplog):
    tokenizer = load_tokenizer(MINI_FOLDER / "base" / "tokenizer")
    texts = ["a man", "an old man " * 21, "a man " * 32]
    examples = opened(saved(tmp_path, rows(prompt=texts)))
    warn_of_cut_captions(examples, tokenizer, count=1)
    assert caplog.messages == []
    warn_of_cut_captions(examples, tokenizer)
    assert caplog.messages == [
        "2 of the first 3 captions have more than 62 tokens besides begin and end (the longest "
        "64); what lies beyond is not learned"
    ]
    caplog.clear()
    warn_of_cut_captions(examples_of(_drawn(), 1), tokenizer)
    assert caplog.messages == []


def test_aus_on_another_scale_become_intensities_and_are_told(tmp_path, caplog):
    path = saved(tmp_path, rows(aus=[[value / 5 for value in SMILE]] * 3))
    examples = opened(path)
    assert examples.aus(1).tolist() == pytest.approx(SMILE)
    assert examples.fingerprint["scale"] == 1
    assert caplog.messages == [
        f"{path} (train): the highest value is 0.6, so all are taken to be on the scale 0–1 and "
        "multiplied by 5; give another data.scale if it is not so"
    ]
    as_it_stands = opened(path, scale=5)
    assert as_it_stands.aus(1)[6] == pytest.approx(0.6)
    assert "scale" not in as_it_stands.fingerprint


def test_occurrences_train_no_intensities(tmp_path):
    path = saved(tmp_path, rows(aus=[[0.0, 1.0] * 6] * 3))
    with pytest.raises(DatasetError) as caught:
        opened(path).aus(0)
    assert str(caught.value) == (
        f"{path} (train): the AUs are occurrences, 0 and 1, and training needs intensities; "
        "data.scale: 5 takes them for intensities"
    )
    assert opened(path, scale=5).aus(0).tolist() == [0.0, 1.0] * 6


def test_aus_slightly_outside_are_clamped_and_others_are_counted(tmp_path, caplog):
    path = saved(tmp_path, rows(aus=[SMILE, [-0.02, *SMILE[1:]], [5.003, *SMILE[1:]]]))
    examples = opened(path)
    assert [examples.aus(i)[0] for i in (1, 2)] == [0, 5]
    assert caplog.messages == [
        f"{path} (train): 2 values outside of 0–5 (down to -0.02, up to 5.003) were clamped to it"
    ]
    path = saved(tmp_path / "other", rows(aus=[SMILE, [9.0] * 12, [None] * 12]))
    with pytest.raises(DatasetError) as caught:
        opened(path).aus(0)
    assert str(caught.value) == (
        f"{path} (train): the AUs of 2 rows (1, 2) are not 12 numbers from 0 to 5"
    )
