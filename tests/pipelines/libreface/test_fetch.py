import socket
from pathlib import Path

import gdown
import pytest
import torch

from pipelines.libreface.network import LibreFaceNetwork, fetch_libreface
from pipelines.libreface.weights import cache_folder, libreface_file
from synthgen.errors import WeightsError


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    assert libreface_file() == tmp_path / "libreface" / "combined_resnet.pt"
    monkeypatch.delenv("SYNTHGEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "synthgen"


def test_weights_that_are_there_are_kept(tmp_path):
    file = libreface_file(tmp_path)
    file.parent.mkdir()
    torch.save({"model": LibreFaceNetwork().state_dict()}, file)
    before = file.read_bytes()
    assert fetch_libreface(tmp_path) == file
    assert file.read_bytes() == before


def test_file_of_another_network_is_not_taken_for_libreface(tmp_path):
    file = libreface_file(tmp_path)
    file.parent.mkdir()
    torch.save({"other": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match=r'must hold \{"model": state_dict\}'):
        fetch_libreface(tmp_path)


def test_anything_else_that_comes_is_thrown_away(tmp_path, monkeypatch):
    def download(output, **_options):
        Path(output).write_text("<html>quota exceeded</html>")

    monkeypatch.setattr(gdown, "download", download)
    with pytest.raises(
        WeightsError, match="is not LibreFace's network, and was thrown away: it is"
    ):
        fetch_libreface(tmp_path)
    assert list((tmp_path / "libreface").iterdir()) == []


def test_what_comes_whole_is_kept(tmp_path, monkeypatch):
    def download(output, **_options):
        torch.save({"model": LibreFaceNetwork().state_dict()}, output)

    monkeypatch.setattr(gdown, "download", download)
    assert fetch_libreface(tmp_path) == libreface_file(tmp_path)
    assert list((tmp_path / "libreface").iterdir()) == [libreface_file(tmp_path)]


def test_without_a_network_one_sentence_names_url_and_place(tmp_path, monkeypatch, capsys):
    def refuse(*_args, **_kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsError) as caught:
        fetch_libreface(tmp_path)
    file = libreface_file(tmp_path)
    assert str(caught.value) == (
        "cannot fetch LibreFace's weights from "
        "https://drive.google.com/uc?id=1CbnBr8OBt8Wb73sL1ENcrtrWAFWSSRv0 (ConnectionError); "
        f"fetch that file by hand and put it at {file}"
    )
    assert list(file.parent.iterdir()) == []
    assert "non-profit use only" in capsys.readouterr().err
