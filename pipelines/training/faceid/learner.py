"""The face adapter as a network that learns, and its losses."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn
from torch.nn import functional

from pipelines.diffusion.ip_adapter import ATTENTION, PROJECTION
from pipelines.diffusion.unet import text_width
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.fineface.face_adapter import FaceAdapterFile
from pipelines.training.diffusion.base import FrozenBase
from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.loss import (
    Guess,
    diffusion_loss,
    generated_guess,
    guess_of,
    noised,
)
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    au_error,
    read_guess,
    trained_reader,
)
from pipelines.training.faceid.people import (
    FaceIdTrainingConfig,
    FaceReadingConfig,
    LabelledPeople,
    PeopleBatch,
    labelled_people,
)
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import training_fingerprint
from pipelines.training.settings import cycle_at
from samplers.identities.identity import FACEID_WIDTH

_INNER = 2
"""The published projection's inner layer, in widths of an embedding."""

_PROCESSORS = {"sdpa": IPAdapterAttnProcessor2_0, "explicit": IPAdapterAttnProcessor}
_PUBLISHED = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}


class FaceAdapter(nn.Module):
    """Tokens of face embeddings, and K_img and V_img of each cross-attention layer.

    K_img and V_img begin as copies of the layer's text projections.

    Args:
        unet: the UNet that it is for.
        tokens: tokens of a face.
        attention: `sdpa` or `explicit`.
        seed: seed of the projection's weights.
    """

    def __init__(self, unet: nn.Module, tokens: int, attention: str, seed: int) -> None:
        super().__init__()
        width = text_width(unet)
        with seeded(seed):
            self.projection = IPAdapterFaceIDImageProjection(
                FACEID_WIDTH, width, mult=_INNER, num_tokens=tokens
            )
        self.layers = nn.ModuleList()
        for path in cross_layers(unet):
            text: Any = unet.get_submodule(path)
            layer = _PROCESSORS[attention](text.inner_dim, text.cross_attention_dim, (tokens,))
            for name in ("k", "v"):
                own = layer.get_parameter(f"to_{name}_ip.0.weight")
                own.data.copy_(text.get_parameter(f"to_{name}.weight"))
            self.layers.append(layer)

    def forward(self, faces: Float[Tensor, "B 512"]) -> Float[Tensor, "B 1 tokens width"]:
        """Return the tokens of one face a person, as the processors take them."""
        return self.projection(faces).unsqueeze(1)

    def install(self, unet: Any) -> None:
        """Let a UNet's cross-attention compute with this adapter, for good.

        The UNet then takes (text, [tokens]) as its encoder's hidden states.
        """
        own = dict(zip(cross_layers(unet), self.layers, strict=True))
        kept = unet.attn_processors
        unet.set_attn_processor(
            {name: own.get(name.removesuffix(".processor"), kept[name]) for name in kept}
        )

    def to_file(self, dtype: torch.dtype, embedder: str) -> FaceAdapterFile:
        """Return what a published file holds.

        Args:
            dtype: number format.
            embedder: fingerprint of the recogniser.
        """
        projection = {
            f"{_PUBLISHED[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value.to(dtype)
            for name, value in self.projection.state_dict().items()
        }
        attention = {
            f"{2 * number + 1}.to_{kind}_ip.weight": layer.get_parameter(
                f"to_{kind}_ip.0.weight"
            ).to(dtype)
            for number, layer in enumerate(self.layers)
            for kind in "kv"
        }
        return FaceAdapterFile({PROJECTION: projection, ATTENTION: attention}, embedder)


def cross_layers(unet: Any) -> list[str]:
    """Return the paths of a UNet's cross-attention layers, in the order of its processors."""
    return [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]


class ReadError(NamedTuple):
    """Distance of embeddings read from guessed latents from those asked for.

    Attributes:
        total: what is learned: the faces' error and the AUs', by their weight.
        faces: mean of 1 − cosine of the embeddings [0–2].
        aus: mean squared error of the AUs [intensity²]; None where they have no weight.
    """

    total: Tensor
    faces: Tensor
    aus: Tensor | None

    def parts(self, name: str) -> dict[str, Tensor]:
        """Return the errors by name, as curves show them."""
        found = {f"{name} faces": self.faces}
        return found if self.aus is None else {**found, f"{name} AUs": self.aus}


def read_error(
    reader: LatentReader,
    guess: Guess,
    faces: Float[Tensor, "B 512"],
    aus: Float[Tensor, "B aus"],
    aus_weight: float,
) -> ReadError:
    """Return the errors of what is read from a guess, weighted by the signal that was seen.

    Args:
        reader: the trained reader of embeddings and AUs.
        guess: clean latents as the model guesses them.
        faces: embeddings that were shown; a row of zeros has no error.
        aus: AUs that were asked for.
        aus_weight: what their error counts beside that of the faces; at 0 they may be NaN.
    """
    read = read_guess(reader, guess)
    found = (face_errors(read[:, :FACEID_WIDTH], faces) * guess.signal).mean()
    if not aus_weight:
        return ReadError(found, found, None)
    of_aus = au_error(read[:, FACEID_WIDTH:], aus, guess.signal)
    return ReadError(found + aus_weight * of_aus, found, of_aus)


def face_errors(read: Float[Tensor, "B 512"], faces: Float[Tensor, "B 512"]) -> Float[Tensor, " B"]:
    """Return 1 − cosine of each row [0–2]; 0 where there is no embedding but zeros."""
    return (1 - functional.cosine_similarity(read, faces)) * faces.any(1)


class PeopleReaderLearner(ReaderLearner):
    """Learns to read embeddings, and AUs where the data have them."""

    def errors(self, read: Float[Tensor, "B outputs"], batch: LabelledPeople) -> dict[str, Tensor]:
        """Return 1 − cosine of the embeddings, Huber's loss of the AUs, and their sum."""
        faces = face_errors(read[:, :FACEID_WIDTH], batch.faces).mean()
        own = read[:, FACEID_WIDTH:]
        known = torch.where(batch.aus.isnan(), own.detach(), batch.aus)
        aus = functional.smooth_l1_loss(own, known)
        return {"loss": faces + aus, "faces": faces, "aus": aus}


def people_reader(
    config: ReaderConfig,
    folder: Path,
    store: LatentStore,
    embeddings: Float32[np.ndarray, "examples 512"],
    embedder: str,
    device: torch.device,
) -> LatentReader:
    """Return a reader of embeddings, then AUs, in latents; goes on by itself, and is kept.

    Args:
        config: how it is learned.
        folder: folder of the training, which holds the embeddings too.
        store: the latents and their AUs.
        embeddings: who the examples show; zeros where no face was found.
        embedder: fingerprint of what described them.
        device: torch device.

    Raises:
        OutputError: if the folder holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    fingerprint = training_fingerprint(config, latents=store.made_of, embedder=embedder)
    return trained_reader(
        PeopleReaderLearner(config, store.shape, device, FACEID_WIDTH + len(store.action_units)),
        folder,
        fingerprint,
        lambda first, last: labelled_people(store, embeddings, config, first, last),
    )


class FaceIdLearner(Learner):
    """Learns a `FaceAdapter`; base and AU adapter stay what they are.

    Args:
        config: the training run.
        base: the base, on the device; its cross-attention then computes with the adapter.
        au_adapter: an AU adapter that works meanwhile; None: none.
        device: torch device.
        reader: reads embeddings and AUs from guessed latents, on the device; needed where the
            configuration has the reading loss.
    """

    def __init__(
        self,
        config: FaceIdTrainingConfig,
        base: FrozenBase,
        au_adapter: AUAdapter | None,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        network = FaceAdapter(base.unet, config.tokens, config.attention, config.seed)
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
        if self._reader is None:
            raise ValueError("the configuration has the reading loss, but there is no reader")
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
