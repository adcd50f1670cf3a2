"""Pictures that KID and FID compare with; torch-fidelity itself is no dependency."""

from importlib.util import find_spec

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipelines.evaluation.paper.fidelity import FidelityMeter, Pictures, find_reference, generated
from pipelines.evaluation.paper.runs import PaperEvaluation
from pipelines.evaluation.paper.study import seat
from synthgen.dataset.sheet import encode_png
from synthgen.errors import ConfigError, DatasetError, MissingDependencyError


def fill(folder, files, rows=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        Image.new("RGB", (20 + number, 10), (number, 0, 0)).save(folder / f"{number:03d}.png")
    pictures = [{"bytes": encode_png(Image.new("RGB", (8, 8), (0, n, 0)))} for n in range(rows)]
    if rows:
        pq.write_table(pa.table({"image": pictures}), folder / "data.parquet")
    return folder


def test_pictures_come_from_files_and_from_tables_as_squares(tmp_path):
    places = find_reference(fill(tmp_path / "a", 30, rows=30))
    assert len(places) == 60
    pictures = Pictures(places, 10)
    assert {tuple(pictures[number].shape) for number in (0, 29, 30, 59)} == {(3, 10, 10)}
    assert pictures[5][:, 3, 3].tolist() == [5, 0, 0]
    assert pictures[37][:, 3, 3].tolist() == [0, 7, 0]
    [one] = generated(tmp_path / "a", [("data.parquet", 4)])
    assert Pictures([one], 8)[0][:, 0, 0].tolist() == [0, 4, 0]


def test_too_few_pictures_are_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        find_reference(tmp_path / "no")
    assert str(caught.value) == (
        f"the folder of pictures (--reference) {tmp_path}/no does not exist"
    )
    with pytest.raises(ConfigError) as caught:
        find_reference(fill(tmp_path / "few", 3, rows=1))
    assert str(caught.value) == (
        f"{tmp_path}/few holds 4 pictures (files, or the column image of Parquet files); KID and "
        "FID need at least 50"
    )


def test_a_picture_that_is_none_is_named(tmp_path):
    fill(tmp_path, 50)
    (tmp_path / "000.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"000\.png cannot be read: "):
        Pictures(find_reference(tmp_path), 10)[0]


@pytest.mark.skipif(find_spec("torch_fidelity") is not None, reason="torch-fidelity is installed")
def test_without_torch_fidelity_one_sentence_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingDependencyError) as caught:
        FidelityMeter(fill(tmp_path, 50), None, "cpu")
    assert str(caught.value) == (
        "KID and FID (--reference) need torch-fidelity 0.4, which cannot be loaded (No module "
        "named 'torch_fidelity'): pip install torch-fidelity torchvision, the latter as it is "
        "built for the torch that is installed"
    )


def test_inception_without_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        seat(PaperEvaluation(weights="mini", inception=tmp_path / "inception.pth"))
    assert str(caught.value) == (
        f"--inception {tmp_path}/inception.pth is for KID and FID, which need pictures to compare "
        "with: name their folder by --reference"
    )
