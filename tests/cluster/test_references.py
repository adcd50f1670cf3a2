"""Runs that edit pictures of people: the condition `reference`, its columns, and the card."""

import importlib
import io
import os
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from tiny_face_embedder import face_embedder, portrait

from cluster.conditions import picture_bytes
from cluster.driver import generate
from cluster.preflight.estimate import estimate
from cluster.preflight.measure import Measured
from pipelines.faceid.photographs import Quality, embed_photos
from pipelines.loading import check_components
from samplers import build_plan
from samplers.identities import FaceStore, write_store
from samplers.identities.reference import ReferenceImage
from synthgen import to_pandas
from synthgen.config import parse_config
from synthgen.dataset import inspect_dataset
from synthgen.dataset.merging.joining import Merging, merge
from synthgen.errors import ConfigError, OutputError, StoreError
from synthgen.report.reproduction import reproduce
from tests.support.tiny_faces import ABOUT, random_embeddings

MADE_UP = """
from io import BytesIO

from PIL import Image, ImageDraw

from pipelines.interfaces import ImageSource
from samplers.identities.reference import ReferenceImage
from synthgen.config.pipeline import PipelineSection


class Moustaches(PipelineSection):
    needs = frozenset({"aus", "faceid"})
    takes = frozenset({"reference"})

    def load(self, device):
        return MoustacheSource()


class MoustacheSource(ImageSource):
    def generate(self, attempts):
        return [self.draw(attempt) for attempt in attempts]

    def draw(self, attempt):
        given = attempt.spec.conditions.get("reference")
        image = Image.new("RGB", (64, 64), "white")
        if given is not None:
            picture = attempt.spec.condition("reference", ReferenceImage)
            image = Image.open(BytesIO(picture.data)).convert("RGB")
        ImageDraw.Draw(image).line((20, 40, 44, 40), fill=attempt.seed % 2**24, width=3)
        return image
"""


def picture(person, shade=0):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (10 * person, 90, 200 - shade)).save(buffer, "PNG")
    return ReferenceImage.of(buffer.getvalue())


def people(path, count=6, shade=0, without=()):
    references = [None if n in without else picture(n, shade) for n in range(count)]
    ids = [f"p{person}" for person in range(count)]
    kept = references if any(references) else None
    store = FaceStore.build(random_embeddings(count), ids, ABOUT, references=kept)
    write_store(path, store)
    return store


@pytest.fixture
def edited(tmp_path, monkeypatch, make_config):
    """Return a function that builds a run that draws on pictures of people."""
    module = f"moustaches_{os.urandom(4).hex()}"
    (tmp_path / f"{module}.py").write_text(MADE_UP)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    people(tmp_path / "people.parquet")

    def build(
        folder="out", samples=6, output=(), pipeline=None, weights=None, checks=None, **of_people
    ):
        data = make_config(folder, samples=samples).model_dump(mode="json")
        data["identities"] = {
            "source": "faceid",
            "store": str(tmp_path / "people.parquet"),
            "expressions_per_identity": 2,
            "reference": True,
            **of_people,
        }
        data["pipeline"] = {"name": pipeline or f"{module}:Moustaches", "batch_size": 3}
        data["pipeline"] |= {"weights": weights} if weights else {}
        data["verify"] |= {"on_exhausted": "keep_best", "max_attempts": 2}
        data["verify"] = (
            {"checks": checks, "on_exhausted": "keep_best"} if checks else data["verify"]
        )
        data["output"] |= {"shard_size": 3, "splits": {"train": 1.0}, **dict(output)}
        return parse_config(data)

    return build


def rows_of(folder, kind="data"):
    tables = [parquet.read_table(file) for file in sorted((Path(folder) / kind).glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def test_rows_name_the_picture_and_do_not_hold_it(edited, tmp_path):
    config = edited()
    assert generate(config, "inline").rows == 6
    plan = build_plan(config)
    specs = [plan.sample(index) for index in range(6)]
    asked = {spec.sample_id: spec.condition("reference", ReferenceImage) for spec in specs}
    assert len(set(asked.values())) == 3
    for kind in ("data", "rejects"):
        for row in rows_of(tmp_path / "out", kind):
            assert row["reference_id"] == asked[row["sample_id"]].reference_id
            assert "reference" not in row
    for row in rows_of(tmp_path / "out"):
        image = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))
        wanted = np.asarray(Image.open(io.BytesIO(asked[row["sample_id"]].data)))
        assert (image[0, 0] == wanted[0, 0]).all()
    assert inspect_dataset(str(tmp_path / "out")).problems == ()
    assert reproduce(str(tmp_path / "out"), next(iter(asked))).same
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Images of rows with a `reference_id` were made by editing a picture of their" in card
    assert "The pictures themselves are not part of this dataset." in card


def test_a_run_keeps_the_pictures_where_it_is_asked_to(edited, tmp_path):
    config = edited(output={"keep_reference": True})
    generate(config, "inline")
    plan = build_plan(config)
    for row in rows_of(tmp_path / "out"):
        asked = plan.sample(plan.find(row["sample_id"])).condition("reference", ReferenceImage)
        assert row["reference"] == {"bytes": asked.data, "path": f"{asked.reference_id}.png"}
    assert all("reference" not in row for row in rows_of(tmp_path / "out", "rejects"))
    loaded = datasets.load_dataset(
        str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["reference"] == datasets.Image()
    assert loaded[0]["reference"].size == (64, 64)
    assert inspect_dataset(str(tmp_path / "out")).problems == ()
    assert reproduce(str(tmp_path / "out"), plan.sample(0).sample_id).same
    assert "reference" not in to_pandas(str(tmp_path / "out"))
    frame = to_pandas(str(tmp_path / "out"), images=True)
    assert isinstance(frame["reference"][0], bytes)
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "The pictures themselves are in the column `reference`, and may show real people." in card
    )


def test_the_size_of_kept_pictures_is_measured_and_never_guessed(edited):
    for keep in (False, True):
        config = edited(output={"keep_reference": keep})
        spec = build_plan(config).sample(0)
        kept = len(spec.condition("reference", ReferenceImage).data)
        assert picture_bytes(spec, config.output) == (kept if keep else 0)
    assert estimate(config, []).row is None
    measured = Measured(5.0, 16, 8, 9000.0, "CPU", None)
    assert estimate(config, [], measured=measured).row.value > 9000


def test_a_merged_dataset_says_of_each_image_whether_it_was_edited(edited, tmp_path):
    generate(edited(output={"keep_reference": True}), "inline")
    generate(edited("plain", reference=False), "inline")
    both = tmp_path / "both"
    merge(Merging(sources=[str(tmp_path / "out"), str(tmp_path / "plain")], to=str(both)))
    rows = rows_of(both)
    assert [row["reference_id"] is None for row in rows].count(True) == 6
    assert all((row["reference_id"] is None) == (row["reference"] is None) for row in rows)
    assert "is null where an image was made without one" in (both / "README.md").read_text()


def test_without_the_key_nothing_changes(edited, tmp_path):
    config = edited(reference=False)
    stored = config.model_dump(mode="json")
    assert "reference" not in stored["identities"]
    assert "keep_reference" not in stored["output"]
    generate(config, "inline")
    assert "reference_id" not in rows_of(tmp_path / "out")[0]
    assert "editing" not in (tmp_path / "out" / "README.md").read_text()


def test_other_pictures_are_other_data(edited, tmp_path):
    generate(edited(), "inline")
    people(tmp_path / "people.parquet", shade=9)
    with pytest.raises(OutputError) as caught:
        generate(edited(samples=8), "inline")
    assert "stores.identities.reference: " in str(caught.value)
    assert "stores.identities.store" not in str(caught.value)


def test_a_run_is_extended_with_the_same_pictures(edited, tmp_path):
    generate(edited(), "inline")
    before = rows_of(tmp_path / "out")
    generate(edited(samples=8), "inline")
    after = rows_of(tmp_path / "out")
    assert len(after) == 8
    assert after[:6] == before


@pytest.mark.parametrize(
    ("without", "whom"),
    [(range(6), "anybody"), ([2, 4], "2 of its 6 people, such as 'p2'")],
)
def test_a_store_without_pictures_is_refused(edited, tmp_path, without, whom):
    people(tmp_path / "people.parquet", without=list(without))
    with pytest.raises(StoreError) as caught:
        build_plan(edited())
    assert str(caught.value) == (
        f"identities.reference: {tmp_path}/people.parquet keeps no picture of {whom}; make a store "
        "that does: synthgen faces embed PHOTOS --keep-images --to people.parquet"
    )
    build_plan(edited(reference=False))


def test_pictures_that_nobody_edits_or_gives_are_refused(edited):
    with pytest.raises(ConfigError) as caught:
        check_components(edited(pipeline="fineface-faceid", weights="mini"))
    assert str(caught.value).startswith(
        "identities.reference gives reference, but the pipeline 'fineface-faceid' does not use it; "
        "leave identities.reference out"
    )
    with pytest.raises(ConfigError) as caught:
        edited(reference=False, output={"keep_reference": True})
    assert (
        "output.keep_reference keeps the pictures that images are edited from, and no image of "
        "this run is edited from one; leave it out, or set identities.reference"
    ) in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        edited(synthetic={})
    assert (
        "reference edits pictures of the store's people, and synthetic shows new people, of whom "
        "there are none; leave one of them out"
    ) in str(caught.value)


def test_images_may_have_to_show_the_person_of_the_picture(edited, tmp_path):
    embedder = face_embedder(tmp_path)
    (tmp_path / "photos").mkdir()
    for person in range(3):
        portrait(person).save(tmp_path / "photos" / f"p{person}.png")
    store, _ = embed_photos(tmp_path / "photos", embedder, Quality(0.0, 0.0, 0.0), keep_images=True)
    write_store(tmp_path / "people.parquet", store)
    embedder = {"kind": "mini", "weights": str(tmp_path / "tiny.safetensors")}
    for least in (-1.0, 1.0):
        policy = {"min_identity_similarity": least}
        check = {"name": "faceid", "embedder": embedder, "policy": policy}
        config = edited(f"at{least:g}", checks=[check])
        generate(config, "inline")
        out = config.output.path
        assert all(-1 <= row["identity_similarity"] < 1 for row in rows_of(out))
        reasons = {row["reason"] for row in rows_of(out, "rejects")}
        assert reasons == ({"identity"} if least == 1.0 else set())


def test_the_plan_says_that_pictures_are_edited(edited):
    assert (
        build_plan(edited())
        .identities.describe()
        .endswith(
            "people.parquet: 6 people, described by toy; images are edited from their pictures"
        )
    )
