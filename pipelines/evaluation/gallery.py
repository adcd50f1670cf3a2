"""Generated pictures of an evaluation: made, kept in a folder, and found there again.

A batch is one PNG file, its images side by side, named by a hash of all that it is a function of:
the model, its texts, AUs, seeds, people, and its size. Batches are cut the same way each time, so
that an evaluation that went on has the images of one that was never stopped.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import UnidentifiedImageError
from PIL.Image import Image
from pydantic import Field, model_validator

from pipelines.evaluation.protocols import Request, au_array
from pipelines.fineface.section import (
    GUIDANCE_SCALE,
    MINI_GUIDANCE_SCALE,
    FaceIdConfig,
    FineFaceConfig,
)
from pipelines.interfaces import ImageSource
from pipelines.policy import blank_detail
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import DEFAULT_AUS
from synthgen.choices import NumberFormat, Scheduler
from synthgen.config.base import Section
from synthgen.dataset.markdown import table
from synthgen.dataset.whole_files import replacing
from synthgen.errors import ConfigError, OutputError, WeightsError


def write_document(path: Path, text: str) -> None:
    """Write a Markdown file; its folder is made if missing.

    Raises:
        OutputError: if it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, partial):
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def files_section(files: Mapping[str, str]) -> str:
    """Write the section that tells the checksums of all files in use, by name → sha256."""
    rows = [[name, f"`{sha256}`"] for name, sha256 in files.items()]
    return f"## Weights\n\n{table(['file', 'sha256'], rows)}"


class GenerationSettings(Section):
    """Sampler, scales, number format and seed of an evaluation."""

    scheduler: Scheduler = Field(default="dpmpp", description="Sampler.")
    steps: int = Field(default=20, ge=1, le=1000, description="Denoising steps.")
    guidance: float | None = Field(
        default=None,
        ge=0,
        description="Guidance scale; null: 1.2 for the embedded base, 7.5 for others.",
    )
    text_guidance: float | None = Field(
        default=None,
        ge=0,
        description="Guidance of the text alone, instead of `guidance`; null: not asked for.",
    )
    au_scale: float = Field(default=1.0, description="Scale of the AU branch.")
    batch_size: int = Field(default=16, ge=1, le=4096, description="Images generated at once.")
    dtype: NumberFormat = Field(default="float32", description="Number format of the models.")
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of prompts and noise.")

    @model_validator(mode="after")
    def _one_guidance(self) -> "GenerationSettings":
        if self.guidance is not None and self.text_guidance is not None:
            raise ConfigError(
                f"guidance is {self.guidance:g} and text guidance is {self.text_guidance:g}; "
                "give one of them"
            )
        return self

    def sampling(self, base: str) -> dict[str, Any]:
        """Return the keys of a pipeline's configuration that say how it samples.

        Args:
            base: the Stable Diffusion base, which decides the guidance where none is given.
        """
        usual = MINI_GUIDANCE_SCALE if base == "mini" else GUIDANCE_SCALE
        if self.text_guidance is None:
            guidance = {"guidance_scale": usual if self.guidance is None else self.guidance}
        else:
            guidance = {"text_guidance_scale": self.text_guidance}
        return {
            "scheduler": self.scheduler,
            "num_inference_steps": self.steps,
            **guidance,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "dtype": self.dtype,
        }

    def written(self, command: str) -> str:
        """Return the command with all that is set, without where things are written.

        Args:
            command: the command's name; what is its own comes before how it generates.
        """
        shared = GenerationSettings.model_fields
        own = {name: field for name, field in type(self).model_fields.items() if name not in shared}
        words = [command]
        for name, field in (own | shared).items():
            value = getattr(self, name)
            if value != field.default:
                words.append(f"--{name.replace('_', '-')} {_word(value)}")
        return " ".join(words)


def _word(value: object) -> str:
    text = value.name if isinstance(value, Path) else str(value)
    return f'"{text}"' if " " in text else text


Generate = Callable[[Sequence[Request]], list[Image]]
"""Requests → one image each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is judged.

    Attributes:
        name: what the tables call it.
        identity: what its images are a function of besides requests and batch size: JSON values.
        generate: generates one batch.
    """

    name: str
    identity: dict[str, Any]
    generate: Generate


def candidate_of(name: str, source: ImageSource, settings: dict[str, Any]) -> Candidate:
    """Make a candidate of an image source, as runs use them.

    Args:
        name: what the tables call it.
        source: the image source.
        settings: its configuration, which its images are a function of too.
    """

    def generate(requests: Sequence[Request]) -> list[Image]:
        return source.generate([_attempt(request) for request in requests])

    return Candidate(name, {"settings": settings, **source.fingerprint()}, generate)


def settings_of(config: FineFaceConfig | FaceIdConfig) -> dict[str, Any]:
    """Return what images are a function of besides the files, wherever these lie."""
    kept = config.model_dump(mode="json", exclude={"weights"})
    weights = config.weights
    return {**kept, "lora_scale": 1.0 if weights == "mini" else weights.lora_scale}


def _attempt(request: Request) -> Attempt:
    seed = request.prompt.noise
    conditions: dict[str, object] = {"aus": tuple(map(float, au_array([request])[0]))}
    if request.person is not None:
        conditions["faceid"] = request.person
    spec = SampleSpec(
        index=0,
        split="evaluation",
        position=0,
        replacement=0,
        stratum="",
        conditions=conditions,
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=seed,
        prompt=request.text,
        negative_prompt="",
        action_units=request.action_units,
    )
    return Attempt(spec, number=0, seed=seed)


@dataclass(frozen=True, slots=True)
class Gallery:
    """Folder where images are kept, and the number that is generated at once.

    Attributes:
        folder: folder of the images; made if missing.
        batch_size: images generated at once; a last batch is filled up with repeats.
    """

    folder: Path
    batch_size: int

    def batches(
        self, candidate: Candidate, requests: Sequence[Request]
    ) -> Iterator[tuple[Sequence[Request], list[Image]]]:
        """Yield batches of requests with their images, generated or kept from before.

        Raises:
            OutputError: if an image cannot be written.
        """
        for start in range(0, len(requests), self.batch_size):
            batch = requests[start : start + self.batch_size]
            yield batch, self._images(candidate, batch)[: len(batch)]

    def _images(self, candidate: Candidate, batch: Sequence[Request]) -> list[Image]:
        filled = [*batch, *[batch[-1]] * (self.batch_size - len(batch))]
        path = self.folder / f"{_key(candidate, filled)}.png"
        kept = _read(path, self.batch_size)
        if kept is not None:
            return kept
        images = candidate.generate(filled)
        for detail in filter(None, map(blank_detail, images)):
            raise WeightsError(f"an image of {candidate.name} is blank: {detail}")
        _write(path, images)
        return [image.convert("RGB") for image in images]


def _key(candidate: Candidate, batch: Sequence[Request]) -> str:
    asked = [_asked(request) for request in batch]
    text = json.dumps([candidate.identity, asked], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _asked(request: Request) -> list[Any]:
    asked: list[Any] = [request.text, list(request.aus), request.prompt.noise]
    if request.action_units != DEFAULT_AUS:
        asked.append(request.action_units.names)
    person = request.person
    if person is None:
        return asked
    digest = sha256(person.embeddings.astype("<f4").tobytes()).hexdigest()
    return [*asked, person.identity_id, person.embedder, digest]


def _read(path: Path, count: int) -> list[Image] | None:
    """Return the images of a batch; None where it is not there, or is no whole picture."""
    if not path.is_file():
        return None
    try:
        with PILImage.open(path) as file:
            strip = file.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None  # generated anew
    width = strip.width // count
    return [strip.crop((i * width, 0, (i + 1) * width, strip.height)) for i in range(count)]


def _write(path: Path, images: Sequence[Image]) -> None:
    width, height = images[0].size
    strip = PILImage.new("RGB", (width * len(images), height))
    for number, image in enumerate(images):
        strip.paste(image.convert("RGB"), (number * width, 0))
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, partial):
            strip.save(partial, "PNG", compress_level=1)
    except OSError as error:
        raise OutputError(f"cannot write the images {path}: {error.strerror or error}") from error
