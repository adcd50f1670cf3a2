"""One step after another for the base UNet: text to latents."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel

from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.diffusion.loss import diffusion_loss, noised
from pipelines.training.loop.learner import Learner
from pipelines.training.unet.config import UNetConfig
from synthgen.errors import ConfigError


class UNetLearner(Learner):
    """Learns a `UNet2DConditionModel` beside a frozen text encoder.

    Args:
        config: the training run.
        shape: channels, height and width of a latent.
        text_encoder: what turns tokens into conditions.
        device: torch device.

    Raises:
        ConfigError: if the UNet cannot halve the latents as often as it has levels.
    """

    def __init__(
        self,
        config: UNetConfig,
        shape: tuple[int, int, int],
        text_encoder: CLIPTextModel,
        device: torch.device,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            unet = make_unet(config, shape, text_encoder.config.hidden_size)
        if config.attention == "explicit":
            unet.set_attn_processor(AttnProcessor())
        super().__init__(config, config.cycles, unet, device)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(device)  # pyright: ignore
        self.scheduler = make_scheduler(config)
        self._config = config

    def losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch."""
        scheduler, settings = self.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        with self.autocast():
            with torch.no_grad():
                text = self._text_encoder(batch.input_ids).last_hidden_state
            predicted = self.network(seen.latents, seen.timesteps, text).sample
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        return {"loss": loss}


def make_unet(
    config: UNetConfig, shape: tuple[int, int, int], text_width: int
) -> UNet2DConditionModel:
    """Make an untrained UNet.

    Args:
        config: the training run.
        shape: channels, height and width of a latent.
        text_width: width of a token.

    Raises:
        ConfigError: if it cannot halve the latents as often as it has levels.
    """
    model, (channels, side, _) = config.model, shape
    if side % (halved := 2 ** (len(model.block_out_channels) - 1)):
        raise ConfigError(
            f"data.size {config.data.size} gives latents of {side}×{side}; a UNet of "
            f"{len(model.block_out_channels)} levels needs a multiple of {halved}"
        )
    down = ["CrossAttnDownBlock2D" if text else "DownBlock2D" for text in model.cross_attention]
    up = ["CrossAttnUpBlock2D" if text else "UpBlock2D" for text in model.cross_attention[::-1]]
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=model.block_out_channels,
        layers_per_block=model.layers_per_block,
        cross_attention_dim=text_width,
        attention_head_dim=model.heads,  # diffusers' old name: the number of heads
        norm_num_groups=model.norm_num_groups,
        use_linear_projection=True,
    )


def make_scheduler(config: UNetConfig) -> DDPMScheduler:
    """Make Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=config.prediction,
        clip_sample=False,
        steps_offset=1,
    )
