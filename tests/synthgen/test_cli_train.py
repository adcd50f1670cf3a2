"""`synthgen train …` as a user meets it: paths printed, errors of one line, exit codes."""

import sys

import pytest
import tiny_training as tiny

from synthgen.cli import commands


@pytest.fixture
def run(monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["synthgen", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return command


def test_a_training_prints_what_it_made_and_goes_on(run, tmp_path):
    config = tiny.write(tmp_path / "vae.yaml", tiny.vae())
    out = tmp_path / "out"
    code, output, _ = run("vae", config, "--to", out, "--stop-at", 2)
    assert (code, output) == (0, f"{out}: to be continued by the same command\n")
    code, output, _ = run("vae", config, "--to", out, "--set", "held_out=9")
    assert (code, output) == (0, f"{out / 'vae'}\n")
    assert len(tiny.history(out)) == 6


@pytest.mark.parametrize("name", ["vae", "clip", "unet", "fineface", "au-net", "judge"])
def test_a_missing_configuration_is_one_line_and_exit_code_2(run, tmp_path, name):
    path = tmp_path / "none.yaml"
    code, output, error = run(name, path, "--to", tmp_path / "out")
    assert (code, output) == (2, "")
    assert error == f"error: the configuration {path} does not exist\n"


def test_an_unknown_key_is_one_line_and_exit_code_2(run, tmp_path):
    config = tiny.write(tmp_path / "vae.yaml", tiny.vae())
    code, output, error = run("vae", config, "--to", tmp_path / "out", "--set", "lr=1")
    assert (code, output) == (2, "")
    assert error.startswith("error: --set lr=1: unknown key lr; ")
    assert error.count("\n") == 1


def test_ctrl_c_says_that_the_same_command_continues(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.training.vae.train_vae", interrupted)
    code, output, error = run("vae", tmp_path / "vae.yaml", "--to", tmp_path)
    assert (code, output) == (130, "")
    assert error == f"stopped; the same command continues from {tmp_path / 'checkpoint.pt'}\n"
