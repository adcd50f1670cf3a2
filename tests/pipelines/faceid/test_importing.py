import pickle
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.faceid.importing import import_store
from samplers.identities import FaceStore, read_store, write_store
from samplers.identities.faceid import SyntheticPeopleConfig
from samplers.identities.synthetic import nearest_reached
from synthgen.cli.commands import app, main
from synthgen.errors import StoreError
from tests.support.tiny_faces import ABOUT, make_store, random_embeddings


class Trap:
    """A value whose unpickling would run code."""

    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.fixture
def values():
    return random_embeddings(4)


def run(arguments, monkeypatch):
    """Run the command line as a shell would; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["synthgen", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


@pytest.mark.parametrize("kind", ["tensor", "mapping", "people", "half"])
def test_tensors_of_a_pickle_become_a_store(tmp_path, values, kind):
    tensor = torch.from_numpy(values)
    saved = {
        "tensor": tensor,
        "mapping": {"embeddings": tensor, "identity_ids": list("abcd"), "epoch": 3},
        "people": dict(zip("abcd", tensor, strict=True)),
        "half": tensor.to(torch.bfloat16),
    }
    torch.save(saved[kind], tmp_path / "faces.pt")
    store = import_store(tmp_path / "faces.pt", embedder="toy")
    expected = FaceStore.build(values, "abcd", ABOUT).embeddings
    assert store.embeddings == pytest.approx(expected, abs=1e-6 if kind != "half" else 1e-3)
    if kind in ("mapping", "people"):
        assert store.identity_ids == tuple("abcd")


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path, capsys):
    torch.save({"embeddings": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Trap(), 2))
    for name in ("trap.pt", "plain.pkl"):
        with pytest.raises(StoreError) as caught:
            import_store(tmp_path / name, embedder="toy")
        assert str(caught.value) == (
            f"{tmp_path}/{name} holds more than tensors, numbers and text, so it is not opened; "
            "save the embeddings alone, as one tensor"
        )
    assert "unpickled" not in capsys.readouterr().out


def test_bad_pickles_are_refused_by_file_and_row(tmp_path, values):
    values[2, 4] = np.nan
    torch.save(torch.from_numpy(values), tmp_path / "nan.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"a": torch.ones(512), "b": torch.ones(128)}, tmp_path / "widths.pt")
    for name, sentence in {
        "nan.pt": ": row 2 (from 0) holds nan at place 4; every number must be finite",
        "list.pt": " holds a list; it must hold a tensor of shape [people, 512] or [people, faces, "
        "512], or a mapping to tensors",
        "widths.pt": " maps people to embeddings of 128 to 512 numbers; each must have 512",
    }.items():
        with pytest.raises(StoreError) as caught:
            import_store(tmp_path / name, embedder="toy")
        assert str(caught.value) == f"{tmp_path / name}{sentence}"


def test_the_command_imports_and_tells_what_it_wrote(tmp_path, values):
    torch.save(torch.from_numpy(values), tmp_path / "faces.pt")
    to = tmp_path / "faces.safetensors"
    arguments = ["faces", "import", tmp_path / "faces.pt", "--to", to, "--embedder", "sha256:1"]
    options = ["--embedder-name", "antelopev2", "--licence", "CC-BY-4.0", "--synthetic"]
    found = CliRunner().invoke(app, [*map(str, arguments), *options])
    assert found.output == (f"{to}: 4 people, 4 embeddings of antelopev2; licence: CC-BY-4.0\n"), (
        found.exception
    )
    about = read_store(to).about
    assert (about.embedder, about.synthetic) == ("sha256:1", True)
    assert about.source == "imported from faces.pt"


def test_a_bad_store_ends_with_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys):
    path = tmp_path / "zero.npy"
    np.save(path, np.zeros((2, 512), dtype=np.float32))
    to = tmp_path / "out.parquet"
    assert run(["faces", "import", path, "--to", to, "--embedder", "toy"], monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"error: {path}: row 0 (from 0) is all zeros; an embedding needs a direction\n"
    )
    assert not to.exists()


def test_the_command_invents_people(tmp_path):
    write_store(tmp_path / "real.parquet", make_store(30))
    arguments = ["faces", "invent", tmp_path / "real.parquet", "--to", tmp_path / "new.parquet"]
    found = CliRunner().invoke(
        app, [*map(str, arguments), "-n", "5", "--min-distance", "0.5", "--seed", "4"]
    )
    made = read_store(tmp_path / "new.parquet")
    reached = nearest_reached(make_store(30), made)
    assert found.output == (
        f"{tmp_path}/new.parquet: 5 new people, drawn with seed 4 from the statistics of "
        "30 people, at a cosine distance of 0.5 or more from them and each other; the nearest two "
        f"have a cosine similarity of {reached:.3f}\n"
    ), found.exception
    assert made.about.synthetic
    assert (made.embeddings @ make_store(30).embeddings.T).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("command", [["invent", "mini"], ["draw"]])
def test_a_billion_people_are_refused(tmp_path, monkeypatch, capsys, command):
    to = tmp_path / "new.parquet"
    assert run(["faces", *command, "--to", to, "-n", "1000000000"], monkeypatch) == 2
    assert capsys.readouterr().err == (
        "error: 1,000,000,000 people are to be drawn; at most 1,000,000 are drawn at once\n"
    )
    assert not to.exists()


def test_people_of_evaluations_are_not_drawn(tmp_path, monkeypatch, capsys):
    to = tmp_path / "new.parquet"
    words = ["faces", "draw", "--to", to, "-n", "5", "--first", str(2**32 - 3)]
    assert run(words, monkeypatch) == 2
    assert capsys.readouterr().err == (
        "error: drawn people 4,294,967,293 to 4,294,967,297 are asked for; from 4,294,967,296 on "
        "they are for evaluations alone\n"
    )


def test_the_command_asks_who_is_who_and_tells_of_near_faces(tmp_path, values, monkeypatch, capsys):
    path, to = tmp_path / "faces.npz", tmp_path / "faces.parquet"
    values[3] = values[2] + 0.05 * values[3]
    np.savez(path, embeddings=values, celebrity=list("aabc"))
    words = ["faces", "import", path, "--to", to, "--embedder", "toy"]
    assert run(words, monkeypatch) == 2
    assert capsys.readouterr().err.startswith(
        f"error: {path} does not say for sure who is who: over its 4 rows 'celebrity' has 3 "
    )
    assert not to.exists()
    assert run([*words, "--people", "celebrity"], monkeypatch) == 0
    told = capsys.readouterr()
    assert told.out == f"{to}: 3 people, 4 embeddings of toy; licence: unknown\n"
    assert told.err.startswith(
        f"warning: {path}: 1 pair of faces under different names have a cosine of 0.90 or more"
    )
    merging = [*words, "--people", "celebrity", "--merge-near", "0.98"]
    assert run(merging, monkeypatch) == 0
    told = capsys.readouterr()
    assert told.out == f"{to}: 2 people, 4 embeddings of toy; licence: unknown\n"
    assert told.err == "merged into others: 1; equal faces dropped: 0\n"
    assert run([*words, "--people", "celebrity", "--one-face-each"], monkeypatch) == 2


def test_command_and_configuration_have_the_same_defaults():
    from inspect import signature

    from synthgen.cli.faces import invent

    asked = {name: given.default for name, given in signature(invent).parameters.items()}
    config = SyntheticPeopleConfig()
    assert (asked["min_distance"], asked["shrinkage"]) == (config.min_distance, config.shrinkage)
