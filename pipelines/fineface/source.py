"""Image sources of FineFace, with and without people, and what they load."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    UNet2DConditionModel,
)
from jaxtyping import Float32
from PIL.Image import Image
from transformers import CLIPTextModel

from pipelines.diffusion.models import (
    check_joined,
    check_prediction,
    load_model,
    no_progress_bars,
)
from pipelines.diffusion.prompts import (
    check_run_prompts,
    common_length,
    encode_in_pieces,
    load_tokenizer,
    piece_count,
    refuse_long,
)
from pipelines.diffusion.shared_attention import (
    KeptIdentities,
    NeutralFeatures,
    keep_features,
    shared_attention,
)
from pipelines.diffusion.source import DiffusionSource, make_scheduler, person_of, ready
from pipelines.fineface.checkpoint import stored_alpha
from pipelines.fineface.face_adapter import embedder_of, load_face_adapter
from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
from pipelines.fineface.pipeline import FineFacePipeline
from pipelines.fineface.section import FaceIdConfig, FineFaceConfig, FineFaceSection
from pipelines.fineface.weights import (
    BaseFolders,
    FineFaceFolders,
    agreed_embedder,
    checksums,
    faceid_checksums,
    locate,
    locate_faceid,
)
from pipelines.weight_files import read_json, read_model_config
from samplers.identities.identity import FaceIdentity
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import ActionUnitSet
from synthgen.config import RunConfig
from synthgen.errors import FaceEmbeddingError, WeightsError
from synthgen.foreign import first_line

_USUAL_LATENT_SCALE = 0.18215
"""Latent scale of Stable Diffusion 1.x and 2.x, where a base has no VAE that says it."""


def check_parts(
    parts: Mapping[str, Any], scheduler: Mapping[str, Any], folders: BaseFolders
) -> None:
    """Refuse models that load and do not belong together.

    Args:
        parts: `unet`, `vae`, `text_encoder`, `tokenizer`.
        scheduler: configuration of the base's sampler.
        folders: where they lie, for errors.

    Raises:
        WeightsError: if tokens, text widths, latent channels or latent scales differ, or the base
            predicts what no sampler here knows.
    """
    check_joined(parts, folders.base, folders.vae_model)
    _check_latent_scale(folders, parts["vae"].config.scaling_factor)
    check_prediction(scheduler, folders.base)


def _check_latent_scale(folders: BaseFolders, scale: float) -> None:
    """Refuse a VAE of another kind of Stable Diffusion: its images would be washed out."""
    own = folders.base / "vae" / "config.json"
    if folders.vae is None:
        return
    expected = _USUAL_LATENT_SCALE
    if own.exists():
        expected = read_model_config(own).get("scaling_factor", expected)
    if scale != expected:
        raise WeightsError(
            f"the VAE {folders.vae} has the latent scale {scale:g}; the base {folders.base} was "
            f"trained with {expected:g} (a VAE of SDXL serves no Stable Diffusion 1.x or 2.x)"
        )


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


class FineFaceBase(DiffusionSource):
    """An `ImageSource` of images of a `FineFacePipeline`.

    Args:
        config: sampler and number format.
        pipeline: the pipeline, on its device.

    Raises:
        ConfigError: if the size is no multiple of a cell of the latents.
    """

    def __init__(self, config: FineFaceSection, pipeline: FineFacePipeline) -> None:
        super().__init__(config, pipeline)
        self._pieces = 1
        self._identities = KeptIdentities()
        if config.compile:
            # In the default mode: autotuning picks kernels by their time, and bits would follow.
            pipeline.unet.compile(dynamic=False)

    def prepare(self, run: RunConfig) -> None:
        """Check that no prompt of a run is cut, and learn the length of its embeddings.

        Raises:
            PromptError: if the text encoder would not see the end of one.
        """
        self._pieces = check_run_prompts(
            self._pipeline.tokenizer, run.identities, self._config.long_prompts
        )

    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch; with shared attention each image attends to its identity's neutral one.

        That is painted alone, whatever the batch, so that it depends on the identity alone.
        """
        keys = self._config.shared_attention
        if keys is None:
            return super().generate(attempts)
        paint = super().generate
        neutral = [attempt.neutral for attempt in attempts]

        def keep(place: int) -> NeutralFeatures:
            return keep_features(self._pipeline, keys, lambda: paint(neutral[place : place + 1]))

        kept = self._identities.of([_identity_key(attempt) for attempt in neutral], keep)
        with shared_attention(self._pipeline.unet, keys, kept):
            return paint(attempts)

    @staticmethod
    def _stored_alpha(folders: FineFaceFolders) -> dict[str, str]:
        return stored_alpha(folders.fineface, folders.weight_prefix, folders.lora_scale)

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        known: ActionUnitSet = self._pipeline.au_adapter.aus
        return {
            **super()._arguments(attempts),
            **self._texts(attempts),
            "aus": [attempt.spec.aus_of(known) for attempt in attempts],
            "au_scale": self._config.au_scale,
            "au_start": self._config.au_start,
            **self._guidance(),
        }

    def _guidance(self) -> dict[str, Any]:
        """Return which guidance there is: the one of all, or the one of the text."""
        of_text = self._config.text_guidance_scale
        if of_text is None:
            return {"guidance_scale": self._config.guidance_scale}
        return {"guidance_scale": None, "text_guidance_scale": of_text}

    def _texts(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Return the prompts, or their embeddings where long ones are read in pieces."""
        prompts = [attempt.spec.prompt for attempt in attempts]
        negatives = [attempt.spec.negative_prompt for attempt in attempts]
        tokenizer, mode = self._pipeline.tokenizer, self._config.long_prompts
        refuse_long(tokenizer, prompts, "the prompt", mode)
        refuse_long(tokenizer, negatives, "the negative prompt", mode)
        if mode == "refuse":
            return {"prompt": prompts, "negative_prompt": negatives}
        # The run's length, not the batch's: bits follow the shape, and no row its neighbours.
        pieces = max(self._pieces, piece_count(tokenizer, [*prompts, *negatives]))
        length = common_length(pieces)
        return {
            "prompt_embeds": encode_in_pieces(self._pipeline, prompts, length),
            "negative_prompt_embeds": encode_in_pieces(self._pipeline, negatives, length),
        }


def _identity_key(neutral: Attempt) -> Hashable:
    """Return what the neutral image of an identity is a function of, beside the configuration."""
    spec = neutral.spec
    return neutral.noise_seed, spec.prompt, spec.negative_prompt, spec.faceid


def load_pipeline(
    kind: type[FineFacePipeline],
    folders: FineFaceFolders,
    config: FineFaceSection,
    device: str,
) -> Any:
    """Load a base with its AU adapter and sampler.

    Args:
        kind: class of the pipeline.
        folders: where the weights are.
        config: sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights do not fit one another.
    """
    with no_progress_bars():
        pipeline = load_stable_diffusion(kind, folders, getattr(torch, config.dtype))
        pipeline.load_au_adapter(
            folders.fineface, weight_prefix=folders.weight_prefix, lora_scale=folders.lora_scale
        )
    pipeline.scheduler = make_scheduler(config.scheduler, pipeline.scheduler)
    return ready(pipeline, device)


def load_stable_diffusion(kind: Any, folders: BaseFolders, dtype: torch.dtype) -> Any:
    """Load a base, each of its models whole, without a safety checker.

    Args:
        kind: class of the pipeline.
        folders: where the weights are.
        dtype: number format of the weights.

    Raises:
        WeightsError: if weights do not fit one another.
    """
    base = folders.base
    read_json(base / "model_index.json", "pipeline index")
    scheduler = read_model_config(base / "scheduler" / "scheduler_config.json")
    parts: dict[str, Any] = {
        "unet": load_model(UNet2DConditionModel, base / "unet", dtype),
        "vae": load_model(AutoencoderKL, folders.vae_model, dtype),
        "text_encoder": load_model(CLIPTextModel, base / "text_encoder", dtype),
        "tokenizer": load_tokenizer(base / "tokenizer"),
    }
    check_parts(parts, scheduler, folders)
    try:
        return kind.from_pretrained(
            base,
            **parts,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            dtype=dtype,
            local_files_only=True,
        )
    except Exception as error:  # of whatever diffusers does with a strange index or scheduler
        raise WeightsError(
            f"{base} cannot be loaded as Stable Diffusion: {first_line(error)}"
        ) from error


class FineFaceSource(FineFaceBase):
    """An `ImageSource` of FineFace images.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
    """

    name = "fineface"

    def __init__(self, config: FineFaceConfig, device: str) -> None:
        self._folders = locate(config.weights)
        super().__init__(config, load_pipeline(FineFacePipeline, self._folders, config, device))

    def _checksums(self) -> dict[str, str]:
        return {**checksums(self._folders), **self._stored_alpha(self._folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._folders.licences


class FaceIdSource(FineFaceBase):
    """An `ImageSource` of FineFace images that show the person of each spec.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Attributes:
        embedder: fingerprint of the recogniser whose embeddings the weights understand.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another, or
            nothing says which recogniser they expect.
    """

    name = "fineface-faceid"

    def __init__(self, config: FaceIdConfig, device: str) -> None:
        self._files = locate_faceid(config.weights)
        adapter = self._files.face_adapter
        self.embedder = agreed_embedder(self._files.embedder, embedder_of(adapter), adapter)
        pipeline = load_pipeline(FineFaceIPAdapterPipeline, self._files.folders, config, device)
        load_face_adapter(pipeline, adapter)
        self._faces, self._ip_scale = config.faces, config.ip_scale
        super().__init__(config, pipeline)

    def _checksums(self) -> dict[str, str]:
        return {**faceid_checksums(self._files), **self._stored_alpha(self._files.folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._files.licences

    def check(self, spec: SampleSpec) -> None:
        """Check that a spec shows a person whose embeddings these weights understand.

        Raises:
            FaceEmbeddingError: if it has no embeddings, or those of another recogniser.
        """
        self._person(spec)

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        people = [self._person(attempt.spec) for attempt in attempts]
        return {
            **super()._arguments(attempts),
            "faceid_embeds": np.stack([shown_faces(person, self._faces) for person in people]),
            "ip_scale": self._ip_scale,
        }

    def _person(self, spec: SampleSpec) -> FaceIdentity:
        person = person_of(spec, self.name)
        if person.embedder != self.embedder:
            raise FaceEmbeddingError(
                f"the embeddings of {person.identity_id} were made by {person.embedder!r}; the "
                f"IP-Adapter {self._files.face_adapter.name} was trained with {self.embedder!r}"
            )
        return person


def shown_faces(person: FaceIdentity, faces: int) -> Float32[np.ndarray, "faces 512"]:
    """Return a number of a person's faces: the first ones, in turn where there are fewer."""
    return person.embeddings[np.arange(faces) % len(person.embeddings)]
