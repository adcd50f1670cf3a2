"""`synthgen faces embed`."""

import sys

import pytest
from tiny_face_embedder import face_embedder, portrait
from typer.testing import CliRunner

from samplers.identities.store import read_store
from synthgen.cli.commands import app
from synthgen.errors import ConfigError, MissingDependencyError

runner = CliRunner()


def test_photographs_become_a_store(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        portrait(number).save(photos / f"{number}.png")
    portrait(3).resize((40, 40)).save(photos / "small.png")
    face_embedder(tmp_path)
    to, weights = tmp_path / "store.parquet", tmp_path / "tiny.safetensors"
    words = [
        "faces",
        "embed",
        str(photos),
        "--to",
        str(to),
        "--embedder",
        "mini",
        "--model",
        str(weights),
    ]
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stderr == "small.png: the face is 40 pixels wide; at least 64 are needed\n"
    assert done.stdout == f"{to}: 2 people in 2 of 3 photographs; licence: CC0-1.0\n"
    assert read_store(to).identity_ids == ("0", "1")


def test_without_insightface_its_install_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(MissingDependencyError) as caught:
        runner.invoke(
            app, ["faces", "embed", str(tmp_path), "--to", "s.parquet"], catch_exceptions=False
        )
    assert str(caught.value) == (
        "embedding photographs needs insightface, which is not installed: "
        "pip install '.[faceid]' in a checkout of synthgen"
    )


def test_mini_weights_take_no_licence(tmp_path):
    words = ["faces", "embed", str(tmp_path), "--to", "s.parquet", "--embedder", "mini"]
    with pytest.raises(ConfigError) as caught:
        runner.invoke(app, [*words, "--model-licence", "MIT"], catch_exceptions=False)
    assert str(caught.value) == (
        "the licence 'MIT' is given for the embedder 'mini', whose weight file says its own"
    )


def test_drawn_people_become_a_store(tmp_path):
    embedder = face_embedder(tmp_path)
    to, weights = tmp_path / "store.parquet", tmp_path / "tiny.safetensors"
    words = ["faces", "draw", "-n", "3", "--to", str(to), "--embedder", str(weights)]
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.stdout == (
        f"{to}: 3 drawn people, described by face-embedder-tiny; licence: CC0-1.0\n"
    )
    store = read_store(to)
    assert store.identity_ids == ("drawn-00000000", "drawn-00000001", "drawn-00000002")
    assert store.about.embedder == embedder.fingerprint
    assert store.about.synthetic
    later = [*words[:-4], "--to", str(to), "--first", "2", *words[-2:]]
    runner.invoke(app, later, catch_exceptions=False)
    assert (read_store(to).embeddings[0] == store.embeddings[2]).all()


def test_each_edition_of_the_drawings_has_people_of_its_own(tmp_path):
    face_embedder(tmp_path)
    to, weights = tmp_path / "store.parquet", tmp_path / "tiny.safetensors"
    words = ["faces", "draw", "-n", "2", "--to", str(to), "--embedder", str(weights)]
    runner.invoke(app, [*words, "--edition", "1"], catch_exceptions=False)
    first = read_store(to)
    assert first.identity_ids == ("drawn-00000000", "drawn-00000001")
    done = runner.invoke(app, [*words, "--edition", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    second = read_store(to)
    assert second.identity_ids == ("drawn2-00000000", "drawn2-00000001")
    assert second.about.source == ("2 drawn people of edition 2 of the drawings, one portrait each")
    assert not (second.embeddings == first.embeddings).all(axis=1).any()
