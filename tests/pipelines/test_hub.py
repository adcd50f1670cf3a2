import socket
from pathlib import Path

import pytest

from pipelines.hub import NotFetchedError, resolve
from synthgen.errors import WeightsError


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No name resolves, and nothing was fetched before."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_folder_is_itself(tmp_path: Path) -> None:
    (tmp_path / "au_encoder.ckpt").touch()

    assert resolve(tmp_path, files=["au_encoder.ckpt"]) == tmp_path


def test_safetensors_may_stand_for_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "au_encoder.safetensors").touch()

    assert resolve(str(tmp_path), files=["au_encoder.ckpt"]) == tmp_path


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()

    with pytest.raises(WeightsError) as error:
        resolve(tmp_path, files=["a.json", "b.ckpt"])

    assert str(error.value) == f"{tmp_path} has no file b.ckpt; it must hold a.json, b.ckpt"


@pytest.mark.parametrize("folder", ["/no/such/folder", "./weights", "~/weights", "a/b/c"])
def test_missing_folder_is_named(folder: str) -> None:
    with pytest.raises(WeightsError) as error:
        resolve(folder, files=["a.json"])

    assert str(error.value) == f"weights folder {folder} does not exist; it must hold a.json"


@pytest.mark.usefixtures("offline")
def test_without_a_network_one_sentence_says_what_to_do() -> None:
    with pytest.raises(WeightsError) as error:
        resolve(
            "Tvaranka/fineface",
            files=["attn_processors.ckpt", "au_encoder.ckpt"],
            setting="pipeline.weights.fineface",
        )

    assert str(error.value) == (
        "cannot fetch attn_processors.ckpt, au_encoder.ckpt of Tvaranka/fineface from the Hugging "
        "Face Hub; with no network here, download it elsewhere, put its folder at "
        "Tvaranka/fineface below the working folder, or anywhere and set "
        "pipeline.weights.fineface to its path"
    )


@pytest.mark.usefixtures("offline")
def test_without_a_network_what_was_fetched_before_is_found(tmp_path: Path) -> None:
    repo = tmp_path / "cache" / "models--somebody--weights"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / "a.json").touch()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")

    assert resolve("somebody/weights", files=["a.json"]) == repo / "snapshots" / "abc"


@pytest.mark.usefixtures("offline")
def test_what_was_fetched_in_part_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """As after a command that fetches one file of several that lie in one repository."""
    repo = tmp_path / "cache" / "models--somebody--weights"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / "a.json").touch()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    for wanted, lacking in (({"files": ["a.json", "b.json"]}, "b.json"), ({"either": "cd"}, "c")):
        with pytest.raises(NotFetchedError) as error:
            resolve("somebody/weights", **wanted, setting="pipeline.weights.base", fetch=False)
        assert (error.value.repo, error.value.revision) == ("somebody/weights", None)
        assert str(error.value) == (
            "somebody/weights (pipeline.weights.base) is on this machine without "
            f"{lacking}; `synthgen weights fetch CONFIG` fetches it"
        )


def test_one_of_several_files_is_enough(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        resolve(tmp_path, either=["a.bin", "a.safetensors"])
    assert str(error.value) == (
        f"{tmp_path} has no file a.bin; it must hold a.bin or a.safetensors"
    )
    (tmp_path / "a.safetensors").touch()
    assert resolve(tmp_path, either=["a.bin", "a.safetensors"]) == tmp_path


def test_names_that_cannot_be_on_the_hub_are_refused() -> None:
    with pytest.raises(WeightsError) as error:
        resolve("some body/weights")

    assert (
        str(error.value) == "some body/weights is neither a folder here nor on the Hugging Face Hub"
    )
