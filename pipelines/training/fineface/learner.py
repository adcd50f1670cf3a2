"""The learner of the AU adapter, and the reader of AUs whose error it learns, too."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.training.diffusion.adapter_start import AdapterFiles, begin_adapter
from pipelines.training.diffusion.base import (
    FrozenBase,
)
from pipelines.training.diffusion.config import (
    ReaderConfig,
)
from pipelines.training.diffusion.latents import (
    LabelledLatents,
    LatentBatch,
    LatentStore,
)
from pipelines.training.diffusion.loss import (
    Guess,
    Noise,
    Rollout,
    diffusion_loss,
    draw_noise,
    draw_rollout,
    generated_guess,
    guess_of,
    noised,
)
from pipelines.training.diffusion.reader import (
    FOLDER,
    LatentReader,
    ReaderLearner,
    au_error,
    read_guess,
    trained_reader,
)
from pipelines.training.diffusion.traits import ToldBatch, told_error
from pipelines.training.fineface.config import FineFaceTrainingConfig, Smoothing
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import training_fingerprint
from pipelines.training.settings import cycle_at
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet


def perturb(aus: Float[Tensor, "B aus"], smoothing: Smoothing) -> Float[Tensor, "B aus"]:
    """Disturb AU intensities: noise, a clip to [0, 5], and whole numbers for some samples.

    Whether a sample is rounded is drawn for each by itself. What is drawn comes from torch's
    generator on the CPU, and as much for any settings.

    Args:
        aus: AU intensities [0–5].
        smoothing: how strongly; at 0 and 0 they stay what they are.
    """
    noise = torch.randn(aus.shape).to(aus.device)
    rounded = (torch.rand(len(aus), 1) < smoothing.rounding).to(aus.device)
    if smoothing.variance:
        aus = (aus + smoothing.variance**0.5 * noise).clamp(MIN_INTENSITY, MAX_INTENSITY)
    return torch.where(rounded, aus.round(), aus)


class AUReaderLearner(ReaderLearner):
    """Learns to read AUs."""

    def errors(self, read: Float[Tensor, "B aus"], batch: LabelledLatents) -> dict[str, Tensor]:
        """Return Huber's loss of what was read."""
        return {"loss": functional.smooth_l1_loss(read, batch.aus)}


def au_readers(
    config: ReaderConfig, count: int, store: LatentStore, device: torch.device
) -> list[LatentReader]:
    """Return readers of the AUs in a store's latents; each goes on by itself, and is kept there.

    Args:
        config: how they are learned; the seed is the first one's, the others have the next.
        count: how many.
        store: the latents and their AUs.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    found = []
    for number in range(count):
        own = config.model_copy(update={"seed": config.seed + number})
        reader = trained_reader(
            AUReaderLearner(own, store.shape, device, len(store.action_units)),
            Path(store.folder),
            training_fingerprint(own, latents=store.made_of),
            lambda first, last, own=own: store.labelled(first, last, own.batch_size, own.seed),
            name=f"{FOLDER}-{number + 1}" if number else FOLDER,
        )
        found.append(reader)
    return found


class DrawnBatch(NamedTuple):
    """Examples and all that a step draws for them, row by row.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities of the images [0–5], float32 [B, aus].
        told: those that the adapter is told, disturbed, float32 [B, aus].
        noise: noise on the latents, float32 [B, c, h, w].
        timesteps: how much of it, int64 [B].
        painting: noise from which images are painted, float32 [B, c, h, w]; None: none are.
        stops: the step before which painting stops, int64 [B].
        traits: class of each trait that what is painted should show, int64 [B, traits]; None:
            they are not read.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    told: Float[Tensor, "B aus"]
    noise: Float[Tensor, "B c h w"]
    timesteps: Int[Tensor, " B"]
    painting: Float[Tensor, "B c h w"] | None
    stops: Int[Tensor, " B"] | None
    traits: Int[Tensor, "B traits"] | None = None


class FineFaceLearner(Learner):
    """Learns an `AUAdapter`: AU encoder, AU values, and LoRA; AU keys have no effect and stay.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
        readers: read AUs from guessed latents, on the device; needed where the configuration has
            the reading loss.
        aus: the AUs that the adapter encodes.
        trait_reader: reads traits from them; needed where they are learned from.

    Attributes:
        start: what the adapter took from another; None: nothing.
    """

    def __init__(
        self,
        config: FineFaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        readers: Sequence[LatentReader] = (),
        aus: ActionUnitSet = DEFAULT_AUS,
        trait_reader: LatentReader | None = None,
    ) -> None:
        adapter = untrained_adapter(base.unet, config.encoder, config.rank, config.seed, aus)
        files = None if config.init is None else AdapterFiles.find(config.init)
        self.start = None if files is None else begin_adapter(adapter, files)
        if self.start is not None and config.lora_alpha is not None:  # what was taken counts once
            scale_lora(adapter, config.rank / config.lora_alpha)
        super().__init__(config, config.cycles, adapter, device)
        self._config = config
        self._base = base
        self._adapter = adapter  # the network, by its class
        self._readers = [reader.requires_grad_(False) for reader in readers]
        self._trait_reader = None if trait_reader is None else trait_reader.requires_grad_(False)
        alpha = config.lora_alpha
        self._scale = 1.0 if alpha is None else alpha / config.rank
        self._vectors: dict[str, Tensor] = {}
        if config.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing(self._recomputed)

    def drawn(self, part: LatentBatch | ToldBatch) -> DrawnBatch:
        """Draw noise, timesteps, the labels' disturbance, and what painting begins with."""
        scheduler, cycle = self._base.scheduler, cycle_at(self._config.cycles, self.step)
        noise = draw_noise(part.latents, scheduler, self._config.noise)
        told = perturb(part.aus, self._config.smoothing)
        painting = stops = None
        if cycle.painted:
            painting, stops = draw_rollout(part.latents, cycle.painting_steps)
        traits = part.told if isinstance(part, ToldBatch) else None
        return DrawnBatch(*part[:3], told, *noise, painting, stops, traits)

    def losses(self, batch: LatentBatch | ToldBatch | DrawnBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it."""
        scheduler, settings = self._base.scheduler, self._config.noise
        drawn = batch if isinstance(batch, DrawnBatch) else self.drawn(batch)
        noise = Noise(drawn.noise, drawn.timesteps)
        seen = noised(drawn.latents, scheduler, settings, noise)
        predicted = self.predict(seen.latents, seen.timesteps, batch.input_ids, drawn.told)
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        found = {"loss": loss}
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is not None:
            read = self._read(guess_of(scheduler, seen, predicted), batch.aus)
            found = {"loss": loss + reading.weight * read, "diffusion": loss, "read": read}
        if drawn.painting is not None and drawn.stops is not None:
            text = self._text(batch.input_ids)
            guess = generated_guess(
                lambda noisy, timesteps: self._predict(noisy, timesteps, text, batch.aus),
                scheduler,
                batch.latents,
                cycle.painting_steps,
                Rollout(drawn.painting, drawn.stops),
            )
            found["painted"] = self._read(guess, batch.aus)
            found["loss"] = found["loss"] + cycle.painted * found["painted"]
            if reading is not None and drawn.traits is not None:
                found["traits"] = told_error(self._trait_reader, guess, drawn.traits)
                found["loss"] = found["loss"] + cycle.painted * reading.traits * found["traits"]
        return found

    def _read(self, guess: Guess, aus: Float[Tensor, "B aus"]) -> Tensor:
        errors = [
            au_error(read_guess(reader, guess), aus, guess.signal)
            for reader in self._readers or [None]
        ]
        return torch.stack(errors).mean()

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        input_ids: Int[Tensor, "B L"],
        aus: Float[Tensor, "B aus"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the prediction of the base with the adapter that learns.

        Args:
            noisy: noisy latents.
            timesteps: their timesteps.
            input_ids: tokens of the captions.
            aus: AU intensities [0–5].
        """
        return self._predict(noisy, timesteps, self._text(input_ids), aus)

    def _text(self, input_ids: Int[Tensor, "B L"]) -> Tensor:
        with self.autocast(), torch.no_grad():
            return self._base.text_encoder(input_ids).last_hidden_state

    def _predict(self, noisy: Tensor, timesteps: Tensor, text: Tensor, aus: Tensor) -> Tensor:
        unet, adapter = self._base.unet, self._adapter
        self._vectors = vectors = adapter(aus)  # in float32: bfloat16 would round intensities
        with self.autocast(), self._additions(vectors):
            return unet(noisy.to(unet.dtype), timesteps, text).sample.float()

    @contextmanager
    def _additions(self, vectors: Mapping[str, Tensor]) -> Iterator[None]:
        unet = self._base.unet
        with unfused_lora(unet, self._adapter, self._scale), au_branch(unet, vectors):
            yield

    def _recomputed(self, module: nn.Module, *inputs: Any) -> Any:
        """Call a block that keeps only its inputs; the way back adds to it what this call did."""
        vectors = self._vectors
        return checkpoint(
            module.__call__,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), self._additions(vectors)),
        )


@torch.no_grad()
def scale_lora(adapter: AUAdapter, factor: float) -> None:
    """Multiply what an adapter's LoRA adds by a factor, in place."""
    for path in adapter.config["lora_layers"] or {}:
        adapter.get_parameter(f"unet.{path}.lora_B.weight").mul_(factor)


def untrained_adapter(
    unet: nn.Module, encoder: str, rank: int, seed: int, aus: ActionUnitSet = DEFAULT_AUS
) -> AUAdapter:
    """Make the adapter that training begins with.

    The AU projections are copies of the layer's text projections; the LoRA does nothing yet: A is
    gaussian of standard deviation 1 / rank, as peft's "gaussian" is, and B is zero. Keys do not
    learn: over one token they have no effect.

    Args:
        unet: the frozen UNet.
        encoder: kind of the AU encoder.
        rank: rank of the LoRA.
        seed: seed of the weights.
        aus: the AUs that it encodes.
    """
    with seeded(seed):
        adapter = AUAdapter.for_unet(unet, lora_rank=rank, encoder=encoder, action_units=aus.names)
        for path in adapter.config["lora_layers"]:
            nn.init.normal_(adapter.get_parameter(f"unet.{path}.lora_A.weight"), std=1 / rank)
            nn.init.zeros_(adapter.get_parameter(f"unet.{path}.lora_B.weight"))
    for path in adapter.config["layers"]:
        for name in ("k", "v"):
            own = adapter.get_parameter(f"{path}.processor.au_to_{name}.weight")
            own.data.copy_(unet.get_parameter(f"{path}.to_{name}.weight"))
            own.requires_grad_(name == "v")
    return adapter
