"""Learners of the baselines: the diffusion loss, of a LoRA, of a LoRA in turn, of a whole UNet."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.training.baselines.config import (
    BaselineSettings,
    DreamBoothConfig,
    LoraAUConfig,
    LoraTextConfig,
)
from pipelines.training.baselines.lora import add_loras
from pipelines.training.diffusion.base import FrozenBase
from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.diffusion.loss import Noise, diffusion_loss, draw_noise, noised
from pipelines.training.learner import Learner
from synthgen.action_units import MAX_INTENSITY, ActionUnitSet

TEXT_ADAPTER = "text"
"""Name of the LoRA of LoRA-T, while it learns."""


class DrawnExamples(NamedTuple):
    """Examples and the noise that a step draws for them, row by row.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities of the images [0–5], float32 [B, aus].
        noise: noise on the latents, float32 [B, c, h, w].
        timesteps: how much of it, int64 [B].
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    noise: Float[Tensor, "B c h w"]
    timesteps: Int[Tensor, " B"]


class BaselineLearner(Learner):
    """Learns by the diffusion loss beside a base; a child says what learns.

    Args:
        config: the training run.
        base: the base, on the device.
        network: what learns: a part of the base's UNet, or all of it.
        device: torch device.
    """

    def __init__(
        self, config: BaselineSettings, base: FrozenBase, network: nn.Module, device: torch.device
    ) -> None:
        super().__init__(config, config.cycles, network, device)
        self._base, self._noise = base, config.noise
        if config.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing()

    def drawn(self, part: LatentBatch) -> Any:
        """Draw noise and timesteps."""
        return DrawnExamples(*part, *draw_noise(part.latents, self._base.scheduler, self._noise))

    def losses(self, batch: LatentBatch | DrawnExamples) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch."""
        drawn = batch if isinstance(batch, DrawnExamples) else self.drawn(batch)
        noise = Noise(drawn.noise, drawn.timesteps)
        return {"loss": self.error(drawn.latents, drawn.input_ids, noise)}

    def error(
        self, latents: Float[Tensor, "B c h w"], input_ids: Int[Tensor, "B L"], noise: Noise
    ) -> Tensor:
        """Return the diffusion loss of latents under noise.

        Args:
            latents: scaled latents.
            input_ids: tokens of their texts.
            noise: the noise.
        """
        scheduler, settings = self._base.scheduler, self._noise
        unet, text_encoder = self._base.unet, self._base.text_encoder
        seen = noised(latents, scheduler, settings, noise)
        with self.autocast():
            with torch.no_grad():
                text = text_encoder(input_ids).last_hidden_state
            # The text encoder's format is the base's; a UNet with LoRAs holds two.
            noisy = seen.latents.to(text_encoder.dtype)
            predicted = unet(noisy, seen.timesteps, text).sample.float()
        return diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)


class LoraTextLearner(BaselineLearner):
    """Learns one LoRA from captions that tell AUs.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
    """

    def __init__(self, config: LoraTextConfig, base: FrozenBase, device: torch.device) -> None:
        names = [TEXT_ADAPTER]
        layers = add_loras(base.unet, names, config)
        super().__init__(config, base, layers, device)


class LoraAULearner(BaselineLearner):
    """Learns a LoRA for each AU, a step one after another.

    In its step a LoRA counts, in each example, as much as the AU's intensity, as a share of 5.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
        aus: the AUs.
    """

    def __init__(
        self,
        config: LoraAUConfig,
        base: FrozenBase,
        device: torch.device,
        aus: ActionUnitSet,
    ) -> None:
        self._aus = aus
        layers = add_loras(base.unet, aus.names, config)
        super().__init__(config, base, layers, device)
        self._weights: Tensor | None = None
        for name in aus.names:
            for up in layers.ups(name):
                up.register_forward_hook(self._weighted)

    def losses(self, batch: LatentBatch | DrawnExamples) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch with the LoRA whose turn it is."""
        place = self.step % len(self._aus)
        self._base.unet.set_adapter(self._aus.names[place])
        # Kept until the next step: the way back may compute the layers once more.
        self._weights = batch.aus[:, place] / MAX_INTENSITY
        return super().losses(batch)

    def _weighted(self, module: nn.Module, inputs: Sequence[Tensor], added: Tensor) -> Tensor:
        assert self._weights is not None  # noqa: S101 - the UNet is called by `losses` alone
        return added * self._weights.to(added.dtype).view(-1, *[1] * (added.ndim - 1))


class DreamBoothBatch(NamedTuple):
    """Examples of the data, and as many images of the unedited base.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities of the images [0–5], float32 [B, aus].
        prior: scaled latents of the base's images, float32 [B, c, h, w].
        prior_ids: tokens of their prompts, int64 [B, L].
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    prior: Float[Tensor, "B c h w"]
    prior_ids: Int[Tensor, "B L"]


class DrawnPair(NamedTuple):
    """A batch of DreamBooth and the noise that a step draws for it, row by row.

    Attributes:
        latents, input_ids, aus, prior, prior_ids: as in `DreamBoothBatch`.
        noise: noise on the latents.
        timesteps: how much of it.
        prior_noise: noise on the latents of the base's images.
        prior_timesteps: how much of it.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    prior: Float[Tensor, "B c h w"]
    prior_ids: Int[Tensor, "B L"]
    noise: Float[Tensor, "B c h w"]
    timesteps: Int[Tensor, " B"]
    prior_noise: Float[Tensor, "B c h w"]
    prior_timesteps: Int[Tensor, " B"]


class DreamBoothLearner(BaselineLearner):
    """Learns the whole UNet from captions that tell AUs, and holds it to the base's own images.

    Args:
        config: the training run.
        base: the base, float32, on the device; its UNet learns.
        device: torch device.
    """

    def __init__(self, config: DreamBoothConfig, base: FrozenBase, device: torch.device) -> None:
        super().__init__(config, base, base.unet.requires_grad_(True), device)
        self._weight = config.prior.weight

    def drawn(self, part: DreamBoothBatch) -> DrawnPair:  # pyright: ignore - its own batch
        """Draw noise and timesteps of the data, then those of the base's images."""
        scheduler = self._base.scheduler
        own = draw_noise(part.latents, scheduler, self._noise)
        return DrawnPair(*part, *own, *draw_noise(part.prior, scheduler, self._noise))

    def losses(self, batch: DreamBoothBatch | DrawnPair) -> dict[str, Tensor]:  # pyright: ignore
        """Return the loss of the data, that of the prior, and their weighted sum."""
        drawn = batch if isinstance(batch, DrawnPair) else self.drawn(batch)
        own = self.error(drawn.latents, drawn.input_ids, Noise(drawn.noise, drawn.timesteps))
        noise = Noise(drawn.prior_noise, drawn.prior_timesteps)
        prior = self.error(drawn.prior, drawn.prior_ids, noise)
        return {"loss": own + self._weight * prior, "diffusion": own, "prior": prior}
