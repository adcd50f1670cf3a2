"""One step after another for the AU adapter beside a frozen base."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.training.diffusion.frozen_base import FrozenBase
from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.diffusion.loss import Guess, diffusion_loss, guess_of, noised
from pipelines.training.diffusion.reader import LatentReader, au_error, read_guess
from pipelines.training.diffusion.rollout import painted_guess
from pipelines.training.fineface.config import FineFaceTrainingConfig
from pipelines.training.fineface.perturbation import perturb
from pipelines.training.loop.learner import Learner
from pipelines.training.loop.settings import cycle_at


class FineFaceLearner(Learner):
    """Learns an `AUAdapter`: AU encoder, AU values, and LoRA; AU keys have no effect and stay.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
        reader: reads AUs from guessed latents, on the device; needed where the configuration has
            the reading loss.
    """

    def __init__(
        self,
        config: FineFaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        adapter = untrained_adapter(base.unet, config.encoder, config.rank, config.seed)
        super().__init__(config, config.cycles, adapter, device)
        self._config = config
        self._base = base
        self._adapter = adapter  # the network, by its class
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it."""
        scheduler, settings = self._base.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        aus = perturb(batch.aus, self._config.smoothing)
        predicted = self.predict(seen.latents, seen.timesteps, batch.input_ids, aus)
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        found = {"loss": loss}
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is not None:
            read = self._read(guess_of(scheduler, seen, predicted), batch.aus)
            found = {"loss": loss + reading.weight * read, "diffusion": loss, "read": read}
        if cycle.painted:
            found["painted"] = self._painted(batch, cycle.painting_steps)
            found["loss"] = found["loss"] + cycle.painted * found["painted"]
        return found

    def _read(self, guess: Guess, aus: Float[Tensor, "B aus"]) -> Tensor:
        if self._reader is None:
            raise ValueError("the configuration has the reading loss, but there is no reader")
        return au_error(read_guess(self._reader, guess), aus, guess.signal)

    def _painted(self, batch: LatentBatch, steps: int) -> Tensor:
        text = self._text(batch.input_ids)

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            return self._predict(noisy, timesteps, text, batch.aus)

        guess = painted_guess(predict, self._base.scheduler, batch.latents, steps)
        return self._read(guess, batch.aus)

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
        vectors = adapter(aus)  # in float32: bfloat16 would round intensities
        with self.autocast(), unfused_lora(unet, adapter), au_branch(unet, vectors):
            return unet(noisy.to(unet.dtype), timesteps, text).sample.float()


def untrained_adapter(unet: nn.Module, encoder: str, rank: int, seed: int) -> AUAdapter:
    """Make the adapter that training begins with.

    The AU projections are copies of the layer's text projections; the LoRA does nothing yet: A is
    gaussian of standard deviation 1 / rank, as peft's "gaussian" is, and B is zero. Keys do not
    learn: over one token they have no effect.

    Args:
        unet: the frozen UNet.
        encoder: kind of the AU encoder.
        rank: rank of the LoRA.
        seed: seed of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = AUAdapter.for_unet(unet, lora_rank=rank, encoder=encoder)
        for path in adapter.config["lora_layers"]:
            nn.init.normal_(adapter.get_parameter(f"unet.{path}.lora_A.weight"), std=1 / rank)
            nn.init.zeros_(adapter.get_parameter(f"unet.{path}.lora_B.weight"))
    for path in adapter.config["layers"]:
        for name in ("k", "v"):
            own = adapter.get_parameter(f"{path}.processor.au_to_{name}.weight")
            own.data.copy_(unet.get_parameter(f"{path}.to_{name}.weight"))
            own.requires_grad_(name == "v")
    return adapter
