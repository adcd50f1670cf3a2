"""Training of a recogniser by the Trainer of transformers, seed by seed, resumed after a stop.

The Trainer brings several GPUs, by `accelerate launch` or `torchrun`; the last epoch's weights are
the result: nothing is chosen by what is tested on.
"""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from tqdm import tqdm
from transformers import (
    AutoModelForImageClassification,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from pipelines.recognition.network import loss_of, quiet
from pipelines.recognition.pixels import EpochOrder, FacePixels
from pipelines.training.files import write_whole, writing
from synthgen.choices import NumberFormat
from synthgen.errors import ConfigError, TrainingError

MODEL, PREDICTIONS = "model", "predictions.npy"
_CHECKPOINTS = "checkpoints"
_STATE = "trainer_state.json"
_WARMUP = 0.1
_TEST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of learning.

    Attributes:
        epochs: times that each picture is learned.
        batch_size: pictures of a step, over all GPUs.
        learning_rate: highest learning rate; it rises over a tenth of the steps and falls to zero
            along a cosine.
        weight_decay: decoupled weight decay of AdamW.
        au_weight: weight of the intensities' squared error beside the cross-entropy.
        dtype: number format of the computation; weights stay float32.
        device: `auto` or `cpu`.
        threads: CPU threads.
        workers: processes that read pictures; 0: none extra.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    au_weight: float = 0.3
    dtype: NumberFormat = "float32"
    device: str = "auto"
    threads: int = 1
    workers: int = 0


class _Progress(TrainerCallback):
    """A bar of epochs; a loss that is not finite ends the training."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar."""
        if state.is_world_process_zero:
            done = round(state.epoch or 0)
            self._bar = tqdm(
                total=int(args.num_train_epochs), initial=done, desc=self._title, unit="epoch"
            )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Show the loss of an epoch."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(
                f"{self._title}: the loss is {loss:g} after step {state.global_step}; a lower "
                "--learning-rate or --dtype float32 may help"
            )
        if self._bar is not None and loss is not None:
            self._bar.set_postfix(loss=f"{loss:.3f}")
            self._bar.update(round(state.epoch or 0) - self._bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


class RecogniserTrainer(Trainer):
    """The Trainer with an order of the pictures that is a function of seed and epoch."""

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return EpochOrder(len(self.train_dataset), self.args.seed)  # pyright: ignore[reportArgumentType]


def train_and_predict(
    network: PreTrainedModel,
    learned: FacePixels,
    tested: FacePixels,
    categories: int,
    recipe: Recipe,
    seed: int,
    folder: Path,
) -> Float[np.ndarray, "n outputs"]:
    """Train a network and read the pictures of a test with it; what is there is not done again.

    The folder then holds `model`, which `AutoModelForImageClassification` loads, and
    `predictions.npy`. Stopped, the next call goes on from the last whole epoch.

    Args:
        network: the network, as it begins.
        learned: pictures with labels.
        tested: pictures without.
        categories: number of the categories among the outputs.
        recipe: how it is learned.
        seed: of the order, of the changes, and of what the network draws.
        folder: folder of this seed alone.

    Returns:
        Logits and intensities of the tested pictures, as the network gives them.

    Raises:
        TrainingError: if the loss is not finite.
        OutputError: if a file cannot be written.
    """
    disable_progress_bar()  # of transformers' files, within ours
    with quiet(), writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(recipe.threads)
        trainer = RecogniserTrainer(
            model=network,
            args=_arguments(recipe, seed, folder),
            train_dataset=learned,
            compute_loss_func=loss_of(categories, recipe.au_weight),
            callbacks=[_Progress(f"seed {seed}")],
        )
        trainer.remove_callback(PrinterCallback)  # it prints each loss; the bar tells it
        trainer.train(resume_from_checkpoint=_last_whole(folder / _CHECKPOINTS))
        logits = trainer.predict(tested).predictions  # pyright: ignore[reportArgumentType]
        if trainer.is_world_process_zero():
            _keep(trainer, np.asarray(logits, np.float32), folder)
        trainer.accelerator.wait_for_everyone()
    return np.asarray(logits, np.float32)


def kept_predictions(folder: Path, rows: int) -> Float[np.ndarray, "n outputs"] | None:
    """Return the predictions of a training that was done before; None where there are none."""
    whole = (folder / MODEL / "config.json").is_file()
    return kept_outputs(folder / PREDICTIONS, rows) if whole else None


def kept_outputs(file: Path, rows: int) -> Float[np.ndarray, "n outputs"] | None:
    """Return the outputs for so many pictures that a file holds; None where it does not."""
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == rows else None


def read_with(file: Path, unseen: FacePixels, recipe: Recipe) -> Float[np.ndarray, "n outputs"]:
    """Read pictures with the network that a training left, and keep its outputs.

    Args:
        file: file for the outputs, in the folder of the training.
        unseen: the pictures, without labels.
        recipe: settings of the training.

    Raises:
        OutputError: if the file cannot be written.
    """
    disable_progress_bar()
    with quiet(), writing(file):
        torch.set_num_threads(recipe.threads)
        network = AutoModelForImageClassification.from_pretrained(
            file.parent / MODEL, use_safetensors=True
        )
        trainer = Trainer(model=network, args=_arguments(recipe, 0, file.parent))
        trainer.remove_callback(PrinterCallback)
        outputs = trainer.predict(unseen).predictions  # pyright: ignore[reportArgumentType]
        found = np.asarray(outputs, np.float32)
        if trainer.is_world_process_zero():
            with write_whole(file) as path, path.open("wb") as opened:
                np.save(opened, found)
        trainer.accelerator.wait_for_everyone()
    return found


def _arguments(recipe: Recipe, seed: int, folder: Path) -> TrainingArguments:
    on_cpu = recipe.device == "cpu" or not torch.cuda.is_available()
    if recipe.dtype == "float16" and on_cpu:
        raise ConfigError("--dtype float16 needs a GPU: use bfloat16 or float32")
    arguments = TrainingArguments(
        output_dir=str(folder / _CHECKPOINTS),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=_WARMUP,
        weight_decay=recipe.weight_decay,
        seed=seed,
        use_cpu=on_cpu,
        bf16=recipe.dtype == "bfloat16",
        fp16=recipe.dtype == "float16",
        dataloader_num_workers=recipe.workers,
        dataloader_pin_memory=not on_cpu,
        average_tokens_across_devices=False,
        remove_unused_columns=False,
        label_names=["labels"],
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    processes = arguments.world_size * max(1, arguments.n_gpu)
    if recipe.batch_size % processes:
        raise ConfigError(
            f"--batch-size {recipe.batch_size} must be a multiple of the {processes} processes "
            "that share it"
        )
    arguments.per_device_train_batch_size = recipe.batch_size // processes
    arguments.per_device_eval_batch_size = max(1, _TEST_BATCH // processes)
    return arguments


def _last_whole(folder: Path) -> str | None:
    """Return the last checkpoint that is whole: a kill may leave one without its state."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        try:
            step = json.loads((path / _STATE).read_text(encoding="utf-8"))["global_step"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found[step] = path
    return str(found[max(found)]) if found else None


def _keep(trainer: Trainer, logits: Float32[np.ndarray, "n outputs"], folder: Path) -> None:
    model, partial = folder / MODEL, folder / f"{MODEL}.partial"
    for old in (partial, model):
        if old.exists():
            shutil.rmtree(old)
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(partial)
    partial.rename(model)
    with write_whole(folder / PREDICTIONS) as path, path.open("wb") as file:
        np.save(file, logits)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
