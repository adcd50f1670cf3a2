"""One step after another for the face adapter beside a frozen base."""

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch
from pipelines.fineface.unfused_lora import unfused_lora
from pipelines.training.diffusion.frozen_base import FrozenBase
from pipelines.training.diffusion.loss import diffusion_loss, noised
from pipelines.training.faceid.config import FaceIdTrainingConfig
from pipelines.training.faceid.network import FaceAdapter
from pipelines.training.faceid.people import PeopleBatch
from pipelines.training.loop.learner import Learner


class FaceIdLearner(Learner):
    """Learns a `FaceAdapter`; base and AU adapter stay what they are.

    Args:
        config: the training run.
        base: the base, on the device; its cross-attention then computes with the adapter.
        au_adapter: an AU adapter that works meanwhile; None: none.
        device: torch device.
    """

    def __init__(
        self,
        config: FaceIdTrainingConfig,
        base: FrozenBase,
        au_adapter: AUAdapter | None,
        device: torch.device,
    ) -> None:
        network = FaceAdapter(base.unet, config.tokens, config.attention, config.seed)
        network.install(base.unet)
        super().__init__(config, config.cycles, network, device)
        self._config, self._base = config, base
        self._au_adapter = None if au_adapter is None else au_adapter.requires_grad_(False)

    def losses(self, batch: PeopleBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch; some of its people are hidden, for guidance."""
        scheduler, settings = self._base.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        shown = (torch.rand(len(batch.latents), 1) >= self._config.drop_face).to(self.device)
        predicted = self.predict(
            seen.latents, seen.timesteps, batch.input_ids, batch.aus, batch.faces * shown
        )
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        return {"loss": loss}

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        input_ids: Int[Tensor, "B L"],
        aus: Float[Tensor, "B 12"],
        faces: Float[Tensor, "B 512"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the prediction of the base with the adapter that learns.

        Args:
            noisy: noisy latents.
            timesteps: their timesteps.
            input_ids: tokens of the captions.
            aus: AU intensities [0–5].
            faces: embeddings; zeros for nobody.
        """
        unet = self._base.unet
        with self.autocast(), self._expression(aus):
            with torch.no_grad():
                text = self._base.text_encoder(input_ids).last_hidden_state
            seen = (text, [self.network(faces)])
            first = unet.conv_in.weight.dtype  # the UNet's own: the adapter in it has another
            return unet(noisy.to(first), timesteps, seen).sample.float()

    @contextlib.contextmanager
    def _expression(self, aus: Tensor) -> Iterator[None]:
        if self._au_adapter is None:
            yield
            return
        with torch.autocast(self.device.type, enabled=False):
            vectors = self._au_adapter(aus)  # in float32: bfloat16 would round intensities
        unet = self._base.unet
        with unfused_lora(unet, self._au_adapter), au_branch(unet, vectors):
            yield
