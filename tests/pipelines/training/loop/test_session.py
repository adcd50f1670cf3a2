"""A training that is interrupted between two steps, or killed in the middle of one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_training as tiny
import torch

from pipelines.training.session import Session, load_checkpoint
from pipelines.training.vae import VAEConfig, VAELearner

CONFIG = VAEConfig.model_validate(tiny.vae(checkpoint_every=100))


def session(folder: Path, interrupted_at: int | None = None, by: int = signal.SIGINT) -> Session:
    def batches(first: int, last: int) -> Iterator[torch.Tensor]:
        for step in range(first, last):
            if step == interrupted_at:
                os.kill(os.getpid(), by)
            yield torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))

    folder.mkdir(exist_ok=True)
    learner = VAELearner(CONFIG, torch.device("cpu"))
    return Session("vae", learner, folder, {}, batches)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_writes_a_checkpoint(tmp_path, by):
    before = signal.getsignal(by)
    with pytest.raises(KeyboardInterrupt):
        session(tmp_path / "stopped", interrupted_at=3, by=by).train()
    assert load_checkpoint(tmp_path / "stopped" / "checkpoint.pt")["state"]["step"] == 4
    assert signal.getsignal(by) is before
    again = session(tmp_path / "stopped")
    again.resume()
    assert again.train()
    session(tmp_path / "whole").train()
    assert tiny.history(tmp_path / "stopped") == tiny.history(tmp_path / "whole")


def test_a_finished_training_does_nothing(tmp_path):
    first = session(tmp_path)
    assert first.train()
    before = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    again = session(tmp_path)
    again.resume()
    assert again.train()
    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == before


@pytest.mark.slow
def test_killed_and_continued_the_curve_is_the_same_to_the_bit(tmp_path):
    steps = [{"steps": 200, "learning_rate": 0.003}]
    config = tiny.write(
        tmp_path / "vae.yaml", tiny.vae(cycles=steps, checkpoint_every=5, sample_every=1000)
    )

    def command(folder: str) -> list[str]:
        return [
            sys.executable, "-m", "synthgen.cli", "train", "vae", str(config),
            "--to", str(tmp_path / folder),
        ]  # fmt: skip

    killed = subprocess.Popen(command("killed"), stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / "history.jsonl"
    while not history.exists() or len(history.read_text().splitlines()) < 13:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(tiny.history(tmp_path / "killed")) < 200
    for folder in ("killed", "whole"):
        subprocess.run(command(folder), check=True, stderr=subprocess.DEVNULL)
    whole = tmp_path / "whole" / "history.jsonl"
    assert history.read_bytes() == whole.read_bytes()
    assert len(tiny.history(tmp_path / "whole")) == 200
