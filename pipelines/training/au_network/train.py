"""Training of the AU network in LibreFace's format.

It goes on where it was stopped, and then ends in the same weights as without the stop, to the bit
(same machine, same number of threads). A finished training goes on when a cycle is added.
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from pipelines.evaluation.statistics import AUAgreement, agreement
from pipelines.libreface.network import LibreFaceNetwork, load_network, save_network
from pipelines.procedural import RENDERER_VERSION
from pipelines.training.au_network.learner import (
    AUNetworkConfig,
    HeldOutFaces,
    TrainingFaces,
    au_loss,
)
from pipelines.training.data.loader import load_steps
from pipelines.training.files import writing
from pipelines.training.learner import learning_rate, moving_average, parameter_groups, seeded
from pipelines.training.provenance import OUR_LICENCE, check_same, training_fingerprint, write_card
from pipelines.training.session import CHECKPOINT, load_checkpoint, save_checkpoint, training_folder
from pipelines.weight_files import file_sha256
from synthgen.config.loading import load_section

_AT_ONCE = 50


def evaluate_network(
    measure: Callable[[Tensor], Tensor], faces: HeldOutFaces, workers: int = 0
) -> dict[str, AUAgreement]:
    """Measure held-out faces and compare with what was drawn.

    Args:
        measure: a network in evaluation mode: normalised crops to intensities.
        faces: the faces.
        workers: processes that draw them; 0: this one.
    """
    drawn, measured = [], []
    with torch.inference_mode():
        for batch in DataLoader(faces, _AT_ONCE, num_workers=workers):
            measured.append(measure(batch.pixels))
            drawn.append(batch.aus)
    return agreement(torch.cat(drawn).numpy(), torch.cat(measured).numpy())


WEIGHTS = "au_network.safetensors"
CARD = "au_network.json"


def export_network(
    network: LibreFaceNetwork, config: AUNetworkConfig, folder: Path, name: str
) -> None:
    """Write the network in LibreFace's format, and a card with what held-out faces show.

    Args:
        network: the moving average, in evaluation mode.
        config: the training run.
        folder: folder of the training.
        name: name of the configuration's file.
    """
    weights = folder / WEIGHTS
    save_network(network, weights, {"licence": OUR_LICENCE})
    faces = HeldOutFaces(config, config.evaluation.faces)
    found = evaluate_network(load_network(weights), faces, workers=config.workers)
    card = {
        "command": f"synthgen train au-net {name} --to {folder.name}",
        "file": weights.name,
        "sha256": file_sha256(weights),
        "what": "ResNet-18 in LibreFace's format; measures 12 AUs of procedural and mini faces",
        "licence": OUR_LICENCE,
        "data": "procedural faces, each of an identity of its own, drawn for the training",
        "renderer": RENDERER_VERSION,
        "faces_seen": config.steps * config.batch_size,
        "steps": config.steps,
        "configuration": config.model_dump(mode="json"),
        "held_out": {name: dataclasses.asdict(value) for name, value in found.items()},
    }
    write_card(folder / CARD, card)


class AUTrainer:
    """Learns the AU network; all that a step changes is in `state()`.

    Args:
        config: the training run; the first weights are a function of its seed.

    Attributes:
        step: steps that are done.
        average: moving average of the network; this is what is measured and exported.
    """

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        with seeded(config.seed):
            self._network = LibreFaceNetwork(config.input_size)
        for module in self._network.modules():
            if isinstance(module, nn.Dropout):
                module.p = config.dropout
        self._network.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        self._average = moving_average(self._network, config.ema_decay)
        self._optimizer = torch.optim.AdamW(
            parameter_groups(self._network.parameters(), config.optimizer.weight_decay),
            fused=True,
        )
        self.step = 0

    @property
    def average(self) -> LibreFaceNetwork:
        """Moving average of the network, in evaluation mode."""
        average = self._average.module
        assert isinstance(average, LibreFaceNetwork)  # noqa: S101 - narrows the type
        return average

    def learn(self, pixels: Float[Tensor, "B 3 h w"], aus: Float[Tensor, "B aus"]) -> float:
        """Do one step on a batch and return its loss."""
        config = self._config
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config.cycles)
        torch.manual_seed(config.seed + self.step)  # dropout: a function of the step alone
        loss = self._loss(pixels, aus)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), config.optimizer.clip)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return float(loss.detach())

    def measure(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Measure with the average, at the input size that is learned at now."""
        return self.average(self._coarsened(pixels))

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on besides the configuration."""
        return {
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self._average.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._network.load_state_dict(state["network"])
        self._average.module.load_state_dict(state["average"])
        self._average.n_averaged.fill_(state["step"] + 1)
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _loss(self, pixels: Float[Tensor, "B 3 h w"], aus: Float[Tensor, "B aus"]) -> Tensor:
        network = self._network
        pixels = self._coarsened(pixels).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.dtype == "bfloat16"):
            features = network.encoder(pixels).flatten(1)  # [B, 512]
        features = features.float()
        intensity, detection = network.classifier(features), network.classifier_2(features)
        weights = torch.tensor(self._config.cycle(self.step).weights())
        return au_loss(intensity, detection, aus, weights, self._config.detection_weight)

    def _coarsened(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 k l"]:
        coarse = self._config.coarse
        if self.step >= coarse.steps:
            return pixels
        size = (coarse.input_size, coarse.input_size)
        return functional.interpolate(pixels, size, mode="bilinear", antialias=True)


HISTORY = "history.jsonl"

_GLANCE = 5


def train_au_network(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an AU network, measure it on held-out faces, and export it; goes on by itself.

    Args:
        config_path: YAML file, as `AUNetworkConfig` describes it.
        out: folder for the weights, the card, the checkpoint and the history; made if missing.
        stop_at: end after this step with a checkpoint and without an export; None trains to the
            end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The weight file (which exists only when the training reached its end).

    Raises:
        ConfigError: if the configuration is not allowed.
        OutputError: if the folder cannot be made, or holds a checkpoint of another configuration.
        WeightsError: if the checkpoint cannot be read.
    """
    config = load_section(config_path, AUNetworkConfig, overrides)
    with training_folder(out) as folder:
        torch.set_num_threads(config.threads)
        trainer, checkpoint = AUTrainer(config), folder / CHECKPOINT
        fingerprint = training_fingerprint(config, "evaluation", renderer=RENDERER_VERSION)
        if checkpoint.exists():
            content = load_checkpoint(checkpoint)
            check_same(content["config"], fingerprint, checkpoint, AUNetworkConfig)
            trainer.restore(content["state"])
        last = config.steps if stop_at is None else stop_at
        batches = load_steps(
            TrainingFaces(config), config.batch_size, trainer.step, last, config.workers
        )
        with tqdm(total=config.steps, initial=trainer.step, desc="au-net", unit="step") as bar:
            for batch in batches:
                bar.set_postfix(loss=f"{trainer.learn(batch.pixels, batch.aus):.3f}")
                bar.update()
                if trainer.step % config.checkpoint_every == 0 or trainer.step == last:
                    save_checkpoint(checkpoint, {"config": fingerprint, "state": trainer.state()})
                if trainer.step % config.evaluation.every == 0 and trainer.step < config.steps:
                    _note(trainer, config, folder)
        if trainer.step == config.steps:
            export_network(trainer.average, config, folder, Path(config_path).name)
    return folder / WEIGHTS


def _note(trainer: AUTrainer, config: AUNetworkConfig, folder: Path) -> None:
    """Measure some held-out faces, add a line to the history, and tell of the worst AU."""
    faces = HeldOutFaces(config, max(config.evaluation.faces // _GLANCE, 2))
    found = evaluate_network(trainer.measure, faces)
    line = {"step": trainer.step, "aus": {k: dataclasses.asdict(v) for k, v in found.items()}}
    path = folder / HISTORY
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    worst = min(found, key=lambda name: found[name].pearson_r)
    tqdm.write(f"step {trainer.step}: lowest r {found[worst].pearson_r:.4f} ({worst})")
