"""One step after another for the VAE."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipelines.training.feature_loss import AUFeatures
from pipelines.training.learner import Learner
from pipelines.training.optimization import cycle_at
from pipelines.training.vae_config import VAEConfig, VAEModel

Pixels = Float[Tensor, "B 3 h w"]


class VAELearner(Learner):
    """Learns an `AutoencoderKL`; batches are pixels [-1, 1], cut as the cycle says."""

    def __init__(self, config: VAEConfig, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            vae = make_vae(config.model, config.data.size)
        self._vae: Any = vae
        super().__init__(config, config.cycles, vae, device)
        self._config = config
        sees_wrinkles = any(cycle.loss.features for cycle in config.cycles)
        self._features = AUFeatures(device) if sees_wrinkles else None

    def learn(self, batch: Pixels) -> dict[str, float]:
        """Do one step; before the first with a frozen encoder, the encoder becomes its average.

        So what is exported encodes as what the decoder learns beside.
        """
        if self.step and _frozen(self._config, self.step) > _frozen(self._config, self.step - 1):
            self._settle_encoder()
        return super().learn(batch)

    def losses(self, batch: Pixels) -> dict[str, Tensor]:
        """Return the losses of a batch of pixels."""
        vae, cycle = self._vae, cycle_at(self._config.cycles, self.step)
        with self.autocast():
            with torch.set_grad_enabled(not cycle.freeze_encoder):
                posterior = vae.encode(batch).latent_dist
            decoded = vae.decode(_disturbed(posterior.sample(), cycle.latent_noise)).sample
        decoded = decoded.float()
        found = {
            "absolute": (decoded - batch).abs().mean(),
            "squared": (decoded - batch).square().mean(),
            "edges": edge_error(decoded, batch),
            "divergence": posterior.kl().float().mean() / posterior.mean[0].numel(),
        }
        if self._features is not None and cycle.loss.features:
            with self.autocast():
                found["features"] = self._features.error(decoded, batch)
        total = sum(getattr(cycle.loss, name) * value for name, value in found.items())
        return {"loss": torch.as_tensor(total), **found}

    def compiled(self) -> Sequence[nn.Module]:
        """Return the two halves: the VAE's own call is not used."""
        return [self._vae.encoder, self._vae.decoder]

    def _settle_encoder(self) -> None:
        self._vae.encoder.load_state_dict(self.average.encoder.state_dict())
        self._vae.quant_conv.load_state_dict(self.average.quant_conv.state_dict())

    def parts(self, batch: Pixels) -> Sequence[Any]:
        """Cut a batch into parts, on the device."""
        return batch.to(self.device).chunk(self.settings.accumulate)


def make_vae(model: VAEModel, size: int) -> AutoencoderKL:
    """Make an untrained VAE."""
    levels = len(model.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        block_out_channels=model.block_out_channels,  # pyright: ignore[reportArgumentType]
        layers_per_block=model.layers_per_block,
        latent_channels=model.latent_channels,
        norm_num_groups=model.norm_num_groups,
        sample_size=size,
    )


def _frozen(config: VAEConfig, step: int) -> bool:
    return cycle_at(config.cycles, step).freeze_encoder


def _disturbed(latents: Float[Tensor, "B c h w"], noise: float) -> Float[Tensor, "B c h w"]:
    """Add gaussian noise of up to `noise` standard deviations of the batch's latents."""
    if not noise:
        return latents
    strength = noise * torch.rand(len(latents), 1, 1, 1).to(latents) * latents.std().detach()
    return latents + strength * torch.randn(latents.shape).to(latents)


def edge_error(decoded: Pixels, wanted: Pixels) -> Tensor:
    """Return the mean absolute error of the differences of neighbours, at two sizes."""
    error = decoded - wanted
    small = functional.avg_pool2d(error, 2)
    return _differences(error) + _differences(small)


def _differences(error: Pixels) -> Tensor:
    across = (error[..., :, 1:] - error[..., :, :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return 0.5 * (across + down)
