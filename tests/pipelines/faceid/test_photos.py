"""A folder of photographs becomes a store."""

import os

import pytest
from PIL import Image
from tiny_face_embedder import face_embedder, portrait

from pipelines.faceid.photographs import Quality, embed_photos, find_photos
from samplers.identities.alike import NEAR_COPY, find_alike
from samplers.identities.store import read_store, write_store
from synthgen.errors import StoreError

EVERYTHING = Quality(0.0, 0.0, 0.0)


def put(folder, **people):
    """Write `name=seed` as a photograph, `name=[seeds]` as a folder of them."""
    for name, seeds in people.items():
        if isinstance(seeds, int):
            portrait(seeds).save(folder / f"{name}.png")
        else:
            (folder / name).mkdir()
            for number, seed in enumerate(seeds):
                portrait(seed).save(folder / name / f"{number}.png")


def test_people_are_named_after_their_folder_or_file(tmp_path):
    put(tmp_path, anna=[1, 2], ben=3)
    found = [(photo.name, photo.identity_id) for photo in find_photos(tmp_path)[0]]
    assert found == [("anna/0.png", "anna"), ("anna/1.png", "anna"), ("ben.png", "ben")]
    assert [photo.identity_id for photo in find_photos(tmp_path / "ben.png")[0]] == ["ben"]


def test_a_store_carries_embedder_licences_and_photos(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    put(photos, anna=[1, 2], ben=3)
    embedder = face_embedder(tmp_path)
    store, left = embed_photos(photos, embedder, EVERYTHING, licence="CC-BY-4.0", synthetic=True)
    assert left == []
    write_store(tmp_path / "store.parquet", store)
    again = read_store(tmp_path / "store.parquet", embedder=embedder.fingerprint)
    assert again.identity_ids == ("anna", "anna", "ben")
    assert again.photos == ("anna/0.png", "anna/1.png", "ben.png")
    assert again.about.licence == "CC0-1.0; CC-BY-4.0"
    assert again.about.embedder_name == "face-embedder-tiny"
    assert again.about.synthetic is True
    alone = embedder.embed([portrait(3)]).embeddings[0]
    assert again.embeddings[2].tolist() == pytest.approx(alone.tolist(), abs=1e-6)


def test_what_is_not_good_enough_is_left_out_with_a_reason(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    put(photos, a=1, c=1)
    portrait(2, size=64).resize((48, 48)).save(photos / "small.png")
    Image.new("RGB", (128, 128), "gray").save(photos / "smooth.png")
    (photos / "torn.jpg").write_bytes(b"no picture")
    embedder = face_embedder(tmp_path)
    store, left = embed_photos(photos, embedder, Quality())
    assert store.identity_ids == ("a",)
    assert [(one.name, one.reason) for one in left] == [
        ("c.png", "it shows the very face of a.png"),
        ("small.png", "the face is 48 pixels wide; at least 64 are needed"),
        ("smooth.png", "the face is blurred: sharpness 0.0, at least 30"),
        ("torn.jpg", "it is no picture of a kind that is known"),
    ]


def test_without_photographs_there_is_no_store(tmp_path):
    def said(path):
        with pytest.raises(StoreError) as caught:
            embed_photos(path, face_embedder(tmp_path), Quality())
        return str(caught.value)

    empty = tmp_path / "empty"
    empty.mkdir()
    assert said(empty) == (
        f"{empty} holds no photograph: no file that ends in .bmp, .jpeg, .jpg, .png, .tif, .tiff, "
        ".webp"
    )
    none = tmp_path / "none"
    assert said(none) == f"{none} does not exist; it must be a photograph or a folder of them"
    Image.new("RGB", (20, 20)).save(empty / "a.png")
    assert said(empty) == (
        f"none of the photographs in {empty} can be taken; the first, a.png: the face is 20 "
        "pixels wide; at least 64 are needed"
    )
    Image.new("RGB", (20, 20)).save(empty / "a.jpg")
    assert said(empty) == (
        f"{empty} names 'a' twice: a.jpg and a.png; rename one, or put the photographs of a "
        "person into one folder"
    )


def test_pipes_and_names_that_cannot_be_stored_are_left_out_at_once(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    put(photos, a=1)
    os.mkfifo(photos / "pipe.jpg")
    os.symlink(photos / "gone", photos / "link.png")
    bad = os.fsencode(photos) + b"/Andr\xe9"
    os.mkdir(bad)
    (photos / "a.png").rename(photos / "b.png")
    with open(bad + b"/1.png", "wb") as file:
        portrait(2).save(file, "PNG")
    store, left = embed_photos(photos, face_embedder(tmp_path), EVERYTHING)
    assert store.identity_ids == ("b",)
    assert [(one.name, one.reason) for one in left] == [
        ("Andr\\udce9/1.png", "its name is not UTF-8; rename it"),
        ("link.png", f"the file {photos}/link.png does not exist"),
        (
            "pipe.jpg",
            f"the file {photos}/pipe.jpg is a named pipe; it must be a regular file",
        ),
    ]
    with pytest.raises(StoreError) as caught:
        embed_photos(photos / "pipe.jpg", face_embedder(tmp_path), EVERYTHING)
    assert str(caught.value) == (
        f"the photograph {photos}/pipe.jpg is a named pipe; it must be a regular file"
    )


def test_near_copies_are_told_and_merged(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    put(photos, a=1, b=2)
    portrait(1).save(photos / "c.jpg", quality=95)
    portrait(1).save(photos / "d.bmp")
    embedder = face_embedder(tmp_path)
    store, left = embed_photos(photos, embedder, EVERYTHING)
    assert [one.reason for one in left] == ["it shows the very face of a.png"]
    told = find_alike(store)
    assert [(pair.one, pair.other) for pair in told.first][:1] == [("a", "c")]
    assert told.first[0].cosine > NEAR_COPY
    level = (1 + max(pair.cosine for pair in told.first[1:])) / 2 if told.pairs > 1 else NEAR_COPY
    store, left = embed_photos(photos, embedder, EVERYTHING, merge=level)
    assert store.identity_ids == ("a", "b", "a")
    assert store.photos == ("a.png", "b.png", "c.jpg")
    assert store.merged == (2, 1)
    assert left == []


def test_numbered_photographs_of_several_people_ask(tmp_path):
    def put_files(folder, *names):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"")
        return folder

    numbered = put_files(tmp_path / "a", "p03_1.jpg", "p03_2.jpg", "p04_1.jpg", "p04_2.jpg")
    with pytest.raises(StoreError) as caught:
        find_photos(numbered)
    assert str(caught.value) == (
        f"{numbered} does not say for sure who is who: 2 names are numbered, such as p03_1.jpg and "
        "p03_2.jpg, as several photographs of one person are; put the photographs of each person "
        "into a folder of its own, or say that each shows another person (--one-face-each)"
    )
    assert len(find_photos(numbered, one_face_each=True)[0]) == 4
    unsure = [
        ["ann1.png", "ann2.png", "ben1.png", "ben 2.png"],
        ["A-1.png", "a-2.png", "b (1).png", "b (2).png"],
    ]
    for number, names in enumerate(unsure):
        with pytest.raises(StoreError, match="does not say for sure who is who"):
            find_photos(put_files(tmp_path / f"b{number}", *names))
    sure = [
        ["IMG_1.jpg", "IMG_2.jpg"],
        ["000.png", "001.png", "12_3.png", "12_4.png"],
        ["ann_1.png", "ben_1.png", "cy.png"],
    ]
    for number, names in enumerate(sure):
        assert len(find_photos(put_files(tmp_path / f"c{number}", *names))[0]) == len(names)
