import pytest
import torch

from pipelines.training.session import load_checkpoint, save_checkpoint
from synthgen.errors import WeightsError


class Code:
    def __reduce__(self):
        return print, ("run",)


def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1, "weights": torch.zeros(2)})
    save_checkpoint(path, {"step": 2, "weights": torch.ones(2)})
    assert load_checkpoint(path)["step"] == 2
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04 half of a zip"])
def test_a_corrupt_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"checkpoint\.pt "):
        load_checkpoint(path)


def test_a_file_that_holds_something_else_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save([1, 2], path)
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path} holds list; a checkpoint holds a dict"


def test_code_in_a_checkpoint_is_never_run(tmp_path, capsys):
    path = tmp_path / "checkpoint.pt"
    torch.save({"state": Code()}, path)
    with pytest.raises(WeightsError):
        load_checkpoint(path)
    assert capsys.readouterr().out == ""
