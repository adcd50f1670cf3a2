"""Training of the AU network in LibreFace's format.

It goes on where it was stopped, and then ends in the same weights as without the stop, to the bit
(same machine, same number of threads). A finished training goes on when a cycle is added.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from pipelines.libreface.network import (
    DETECTED_AUS,
    LibreFaceNetwork,
    load_network,
    save_network,
)
from pipelines.libreface.weights import find_weights
from pipelines.procedural import renderer_version
from pipelines.training.au_network.evaluation import compare, evaluate_faces, read_faces
from pipelines.training.au_network.faces import Face, HeldOutFaces, TrainingFaces
from pipelines.training.au_network.learner import AUNetworkConfig, au_loss, intensity_loss
from pipelines.training.data.loader import load_steps
from pipelines.training.diffusion.decoded import decoding_facts
from pipelines.training.files import writing
from pipelines.training.initial import RowPairs, Start, same_rows, start_from
from pipelines.training.learner import learning_rate, moving_average, parameter_groups, seeded
from pipelines.training.provenance import OUR_LICENCE, check_same, training_fingerprint, write_card
from pipelines.training.session import CHECKPOINT, load_checkpoint, save_checkpoint, training_folder
from pipelines.weight_files import file_sha256, read_safetensors_header
from synthgen.config.loading import load_section

WEIGHTS = "au_network.safetensors"
CARD = "au_network.json"


def export_network(trainer: "AUTrainer", config: AUNetworkConfig, folder: Path, name: str) -> None:
    """Write the network in LibreFace's format, and a card with what held-out faces show.

    Args:
        trainer: a trainer that is at its end; its average is written.
        config: the training run.
        folder: folder of the training.
        name: name of the configuration's file.
    """
    weights, start = folder / WEIGHTS, trainer.start
    licence = licence_of(config.init) if config.init else OUR_LICENCE
    save_network(trainer.average, weights, {"licence": licence})
    network = load_network(weights)
    aus, sided = network.action_units, network.sided
    sides = f", {len(sided)} of them left and right apart," if sided else ""
    card = {
        "command": f"synthgen train au-net {name} --to {folder.name}",
        "file": weights.name,
        "sha256": file_sha256(weights),
        "what": f"ResNet-18 in LibreFace's format; measures {len(aus)} AUs{sides} of procedural "
        "and mini faces",
        "licence": licence,
        "data": "procedural faces, each of an identity of its own, drawn for the training",
        "renderer": renderer_version(config.faces.edition),
        **decoding_facts(config.decoded),
        **({"started_from": start.summary()} if start else {}),
        "faces_seen": config.steps * config.batch_size,
        "steps": config.steps,
        "configuration": config.model_dump(mode="json"),
        **evaluate_faces(network, config),
    }
    write_card(folder / CARD, card)


def licence_of(init: str) -> str:
    """Return the licence of the network that a training starts from, which holds for its result."""
    file, _, licence = find_weights(init)
    if file.suffix == ".safetensors":
        return read_safetensors_header(file)[1].get("licence", licence)
    return licence


def start_network(network: LibreFaceNetwork, init: str) -> Start:
    """Copy into a network what another one knows: all layers, of the heads the AUs of both.

    A network that measures no sides starts them: what it tells of an AU is told of each side.

    Args:
        network: the network, freshly drawn.
        init: `mini`, `libreface`, or a file or folder.

    Raises:
        WeightsError: if the file is missing or is no AU network.
    """
    file = find_weights(init)[0]
    found = load_network(file)
    tensors = dict(found.state_dict())
    ours, theirs = network.action_units.names, found.action_units.names
    heads = {"classifier": same_rows(ours, theirs), "classifier_2": same_rows(*[DETECTED_AUS] * 2)}
    if network.sided:
        known, count = found.sided, len(found.sided)
        if not known:
            tensors |= {
                name.replace("classifier.", "classifier_3.", 1): value
                for name, value in found.classifier.state_dict(prefix="classifier.").items()
            }
            known, count = theirs, 0  # both sides are told by the rows of the one
        one = same_rows(network.sided, known)
        other = [(here + len(network.sided), there + count) for here, there in one]
        heads["classifier_3"] = [*one, *other]
    rows: dict[str, RowPairs] = {
        f"{head}.{_LAST}.{part}": pairs
        for head, pairs in heads.items()
        for part in ("weight", "bias")
    }
    return start_from(network, tensors, file, rows)


_LAST = 4
"""Place of the last linear layer in a head."""


class AUTrainer:
    """Learns the AU network; all that a step changes is in `state()`.

    Args:
        config: the training run; the first weights are a function of its seed and of what it
            starts from.

    Attributes:
        step: steps that are done.
        average: moving average of the network; this is what is measured and exported.
        start: what the network took from another before it learned; None: it began at random.

    Raises:
        WeightsError: if what it is to start from is missing or does not fit.
    """

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        with seeded(config.seed):
            self._network = LibreFaceNetwork(
                config.input_size, config.faces.action_units, config.faces.sided
            )
        self.start = start_network(self._network, config.init) if config.init else None
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

    def learn(self, batch: Face) -> float:
        """Do one step on a batch and return its loss."""
        config = self._config
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config.cycles)
        torch.manual_seed(config.seed + self.step)  # dropout: a function of the step alone
        loss = self._loss(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), config.optimizer.clip)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return float(loss.detach())

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

    def _loss(self, batch: Face) -> Tensor:
        network, config = self._network, self._config
        pixels = self.coarsened(batch.pixels).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.dtype == "bfloat16"):
            features = network.encoder(pixels).flatten(1)  # [B, 512]
        features = features.float()
        intensity, detection = network.classifier(features), network.classifier_2(features)
        cycle, aus = config.cycle(self.step), network.action_units
        weights = torch.tensor(cycle.weights(aus.names))
        loss = au_loss(intensity, detection, batch.aus, weights, config.detection_weight, aus)
        if network.sided:
            weights = torch.tensor(cycle.weights(network.sided))
            sides = intensity_loss(network.sides(features), batch.sides, weights)
            loss = loss + config.sides_weight * sides
        return loss

    def coarsened(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 k l"]:
        """Return pixels at the input size that is learned at now."""
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
        WeightsError: if the checkpoint, or what the training starts from, cannot be read.
    """
    config = load_section(config_path, AUNetworkConfig, overrides)
    with training_folder(out) as folder:
        torch.set_num_threads(config.threads)
        trainer, checkpoint = AUTrainer(config), folder / CHECKPOINT
        facts = {
            "renderer": renderer_version(config.faces.edition),
            **decoding_facts(config.decoded),
            **(trainer.start.facts() if trainer.start else {}),
        }
        fingerprint = training_fingerprint(config, "evaluation", **facts)
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
                bar.set_postfix(loss=f"{trainer.learn(batch):.3f}")
                bar.update()
                if trainer.step % config.checkpoint_every == 0 or trainer.step == last:
                    save_checkpoint(checkpoint, {"config": fingerprint, "state": trainer.state()})
                if trainer.step % config.evaluation.every == 0 and trainer.step < config.steps:
                    _note(trainer, config, folder)
        if trainer.step == config.steps:
            export_network(trainer, config, folder, Path(config_path).name)
    return folder / WEIGHTS


def _note(trainer: AUTrainer, config: AUNetworkConfig, folder: Path) -> None:
    """Measure some held-out faces, add a line to the history, and tell of the worst AU."""
    faces = HeldOutFaces(config, max(config.evaluation.faces // _GLANCE, 2))
    readings = read_faces(trainer.average, faces, prepare=trainer.coarsened)
    found = compare(readings, trainer.average.action_units)
    line = {"step": trainer.step, "aus": {k: dataclasses.asdict(v) for k, v in found.items()}}
    path = folder / HISTORY
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    worst = min(found, key=lambda name: found[name].pearson_r)
    tqdm.write(f"step {trainer.step}: lowest r {found[worst].pearson_r:.4f} ({worst})")
