"""Learner of the face adapter, and its losses."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.fineface.face_adapter import FaceAdapterFile, read_face_adapter
from pipelines.fineface.weights import MINI, embedded_face_adapter
from pipelines.training.diffusion.base import FrozenBase
from pipelines.training.diffusion.ip_adapter import VectorAdapter
from pipelines.training.diffusion.loss import (
    Guess,
    diffusion_loss,
    generated_guess,
    guess_of,
    noised,
)
from pipelines.training.diffusion.people import ReadError, read_error
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.faceid.people import (
    FaceIdTrainingConfig,
    FaceReadingConfig,
    PeopleBatch,
)
from pipelines.training.learner import Learner
from pipelines.training.settings import cycle_at
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import WeightsError

_INNER = 2
"""The published projection's inner layer, in widths of an embedding."""


class FaceAdapter(VectorAdapter):
    """Tokens of face embeddings, and K_img and V_img of each cross-attention layer.

    Args:
        unet: the UNet that it is for.
        tokens: tokens of a face.
        attention: `sdpa` or `explicit`.
        seed: seed of the projection's weights.
    """

    def __init__(self, unet: nn.Module, tokens: int, attention: str, seed: int) -> None:
        super().__init__(unet, FACEID_WIDTH, _INNER, tokens, attention, seed)

    def to_file(self, dtype: torch.dtype, embedder: str) -> FaceAdapterFile:
        """Return what a published file holds.

        Args:
            dtype: number format.
            embedder: fingerprint of the recogniser.
        """
        return FaceAdapterFile(self.tensors(dtype), embedder)


@dataclass(frozen=True, slots=True)
class FaceStart:
    """A face adapter to begin from.

    Attributes:
        file: where it is.
        content: what the file holds.
    """

    file: Path
    content: FaceAdapterFile

    @classmethod
    def find(cls, named: str, unet: nn.Module, embedder: str) -> "FaceStart":
        """Read a file, or the embedded one for `mini`.

        Args:
            named: file of `synthgen train faceid`, or `mini`.
            unet: the UNet that it is for.
            embedder: fingerprint of the embedder that describes the people of the training.

        Raises:
            WeightsError: if the file cannot be read, does not fit the UNet, or says another
                embedder.
        """
        file = embedded_face_adapter() if named == MINI else Path(named)
        content = read_face_adapter(file, unet)
        if content.embedder not in (None, embedder):
            raise WeightsError(
                f"init: {named} was trained with the embedder {content.embedder}, the people are "
                f"described by {embedder}: its tokens would mean nothing"
            )
        return cls(file, content)


class FaceIdLearner(Learner):
    """Learns a `FaceAdapter`; base and AU adapter stay what they are.

    Args:
        config: the training run.
        base: the base, on the device; its cross-attention then computes with the adapter.
        au_adapter: an AU adapter that works meanwhile; None: none.
        device: torch device.
        reader: reads embeddings and AUs from guessed latents, on the device; needed where the
            configuration has the reading loss.
        begins: the adapter to begin from; None: copies of the base's text projections.

    Attributes:
        start: what the adapter took from another; None: nothing.

    Raises:
        WeightsError: if the adapter to begin from has another number of tokens.
    """

    def __init__(
        self,
        config: FaceIdTrainingConfig,
        base: FrozenBase,
        au_adapter: AUAdapter | None,
        device: torch.device,
        reader: LatentReader | None = None,
        begins: FaceStart | None = None,
    ) -> None:
        network = FaceAdapter(base.unet, config.tokens, config.attention, config.seed)
        self.start = None if begins is None else network.begin(begins.content.tensors, begins.file)
        network.install(base.unet)
        super().__init__(config, config.cycles, network, device)
        self._config, self._base = config, base
        self._au_adapter = None if au_adapter is None else au_adapter.requires_grad_(False)
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: PeopleBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it.

        Some of its people are hidden, for guidance.
        """
        scheduler, settings = self._base.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        shown = (torch.rand(len(batch.latents), 1) >= self._config.drop_face).to(self.device)
        told = batch._replace(faces=batch.faces * shown)
        predicted = self.predict(seen.latents, seen.timesteps, *told[1:])
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        found = {"loss": loss}
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is not None:
            read = self._read(reading, guess_of(scheduler, seen, predicted), told)
            found = {"loss": loss + reading.weight * read.total, "diffusion": loss}
            found |= read.parts("read")
            if cycle.painted:
                text = self._text(batch.input_ids)
                guess = generated_guess(
                    lambda noisy, timesteps: self._predict(
                        noisy, timesteps, text, batch.aus, batch.faces
                    ),
                    scheduler,
                    batch.latents,
                    cycle.painting_steps,
                )
                read = self._read(reading, guess, batch)
                found |= read.parts("painted")
                found["loss"] = found["loss"] + cycle.painted * read.total
        return found

    def _read(self, reading: FaceReadingConfig, guess: Guess, batch: PeopleBatch) -> ReadError:
        return read_error(self._reader, guess, batch.faces, batch.aus, reading.aus_weight)

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        input_ids: Int[Tensor, "B L"],
        aus: Float[Tensor, "B aus"],
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
        return self._predict(noisy, timesteps, self._text(input_ids), aus, faces)

    def _text(self, input_ids: Int[Tensor, "B L"]) -> Tensor:
        with self.autocast(), torch.no_grad():
            return self._base.text_encoder(input_ids).last_hidden_state

    def _predict(
        self, noisy: Tensor, timesteps: Tensor, text: Tensor, aus: Tensor, faces: Tensor
    ) -> Tensor:
        unet = self._base.unet
        with self.autocast(), self._expression(aus):
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
