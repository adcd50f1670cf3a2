"""Image source of Arc2Face: the person, the expression and the reference of each spec."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import SchedulerMixin
from PIL.Image import Image

from pipelines.arc2face.pipeline import Arc2FacePipeline
from pipelines.arc2face.section import Arc2FaceConfig
from pipelines.arc2face.weights import Arc2FaceFiles, check_person, checksums, locate
from pipelines.diffusion.source import DiffusionSource, make_scheduler, person_of, ready
from pipelines.pictures import open_picture
from pipelines.weight_files import read_model_config
from samplers.flame.expression import FlameExpression, flame_batch
from samplers.identities.identity import FaceIdentity
from samplers.identities.reference import ReferenceImage
from samplers.spec import Attempt, SampleSpec
from synthgen.errors import PictureError, WeightsError
from synthgen.foreign import excerpt, first_line, shown

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


class Arc2FaceSource(DiffusionSource):
    """An `ImageSource` of people by ArcFace embeddings whose expressions are FLAME numbers.

    A person of several faces is shown as the middle of them. A reference is shown where a spec has
    one.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, do not fit one another, or nothing
            says which recogniser they expect.
    """

    name = "arc2face"

    def __init__(self, config: Arc2FaceConfig, device: str) -> None:
        self._files = locate(config.weights)
        self.embedder = self._files.embedder
        super().__init__(config, load_pipeline(self._files, config, device))

    def check(self, spec: SampleSpec) -> None:
        """Check that a spec shows a person whose embeddings Arc2Face understands.

        Raises:
            FaceEmbeddingError: if it has no embeddings, or those of another recogniser.
            ConfigError: if it has no FLAME numbers.
            BankError: if they are not 55 finite numbers.
            PictureError: if its reference cannot be read.
        """
        self._person(spec)
        flame_batch(spec.condition("flame", FlameExpression), f"the expression of {spec.sample_id}")
        _reference(spec)

    def _checksums(self) -> dict[str, str]:
        return checksums(self._files)

    def _licences(self) -> Mapping[str, str]:
        return self._files.licences

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        specs = [attempt.spec for attempt in attempts]
        references = [_reference(spec) for spec in specs]
        edited = any(image is not None for image in references)
        expressions = [spec.condition("flame", FlameExpression) for spec in specs]
        return {
            **super()._arguments(attempts),
            "id_embeds": np.stack([self._person(spec).mean for spec in specs]),
            "expression": flame_batch(expressions),
            "expression_scale": self._config.expression_scale,
            "negative_prompt": [spec.negative_prompt for spec in specs],
            **(
                {
                    "reference_image": references,
                    "reference_scale": self._config.reference_scale,
                }
                if edited
                else {}
            ),
        }

    def _person(self, spec: SampleSpec) -> FaceIdentity:
        person = person_of(spec, self.name)
        check_person(person, self.embedder)
        return person


def _reference(spec: SampleSpec) -> Image | None:
    """Return the picture that a spec edits; None where it edits none.

    Raises:
        ConfigError: if the condition is no reference.
        PictureError: if it cannot be read.
        StoreError: if the store that keeps it was changed or cannot be read.
    """
    if "reference" not in spec.conditions:
        return None
    reference = spec.condition("reference", ReferenceImage)
    try:
        return open_picture(reference.data)
    except PictureError as error:
        raise PictureError(
            f"the reference {reference.reference_id} of {spec.sample_id} cannot be used: {error}"
        ) from error


def load_pipeline(files: Arc2FaceFiles, config: Arc2FaceConfig, device: str) -> Arc2FacePipeline:
    """Load Arc2Face with its sampler and its adapters.

    Args:
        files: where the weights are.
        config: sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights do not fit one another.
    """
    pipeline = Arc2FacePipeline.from_pretrained(
        str(files.published),
        base=str(files.base),
        dtype=getattr(torch, config.dtype),
        scheduler=make_scheduler(config.scheduler, _base_scheduler(files)),
    )
    pipeline.load_expression_adapter(files.expression.parent)
    if files.reference is not None:
        pipeline.load_reference_adapter(files.reference.parent)
    if files.lcm_lora is not None:
        _load_lora(pipeline, files.lcm_lora)
    return ready(pipeline, device)


def _load_lora(pipeline: Any, path: Path) -> None:
    """Load a LoRA of the UNet; `load_lora_weights` would warn that there is none of the encoder.

    Raises:
        WeightsError: if the file cannot be read, or holds none of this UNet.
    """
    try:
        tensors, alphas, metadata = pipeline.lora_state_dict(
            path.parent, weight_name=path.name, return_lora_metadata=True
        )
        pipeline.load_lora_into_unet(
            tensors, alphas, pipeline.unet, metadata=metadata, _pipeline=pipeline
        )
    except Exception as error:  # of whatever diffusers and peft do with strange tensors
        raise WeightsError(
            f"{path} cannot be loaded as a LoRA of the UNet: {first_line(error)}"
        ) from error
    if not pipeline.get_list_adapters():
        raise WeightsError(f"{path} holds no LoRA of the UNet")


def _base_scheduler(files: Arc2FaceFiles) -> Any:
    """Load the sampler that the base comes with."""
    folder = files.base / "scheduler"
    config = read_model_config(folder / "scheduler_config.json")
    kind = getattr(diffusers, str(config.get("_class_name")), None)
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise WeightsError(
            f"{folder}/scheduler_config.json: _class_name is {shown(config.get('_class_name'))}; "
            "it must be a sampler of diffusers"
        )
    try:
        return kind.from_pretrained(folder, local_files_only=True)  # pyright: ignore
    except Exception as error:  # of whatever a class does with the values of a strange config
        raise WeightsError(f"{excerpt(folder)} cannot be loaded: {first_line(error)}") from error
