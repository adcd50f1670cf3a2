"""Models that look at pictures, loaded as they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pipelines.loading import fix_arithmetic, hardware_kind, pick_device
from pipelines.preparation.looking import Describer, Looks, Measurer, PictureFormat
from synthgen.action_units import AUS
from synthgen.choices import NumberFormat
from synthgen.errors import ConfigError

DEFAULT_CAPTION = "a photo of a person"
"""Caption of pictures that have none and that no model describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Ways in which pictures are looked at, as options say it.

    Attributes:
        side: shorter side that a picture has at most [pixels]; 0: as it is.
        min_side: shorter side that it must have [pixels].
        picture_format: of what must be encoded anew.
        caption: caption of pictures that nobody describes.
        model: Hub id or folder of an image-text-to-text model; None: no model looks.
        revision: its revision on the Hub.
        photo_from: least p(yes) of a photograph; None: not asked.
        question: question whose answer is yes for a photograph; None: one that suits the model.
        caption_prompt: what asks for a caption, or how one begins; None: one that suits it.
        verifier: `mini`, `libreface`, or a file or folder of an AU network; None: none measures.
        aligner: what finds the face; None: the verifier's own.
        batch: pictures that a model sees at once.
        dtype: number format of the image-text-to-text model.
        device: device of the models; None: a GPU where there is one.
        threads: threads of CPU kernels, with which bits change.
    """

    side: int = 512
    min_side: int = 0
    picture_format: PictureFormat = "jpeg"
    caption: str = DEFAULT_CAPTION
    model: str | None = None
    revision: str | None = None
    photo_from: float | None = None
    question: str | None = None
    caption_prompt: str | None = None
    verifier: str | None = None
    aligner: str | None = None
    batch: int = 8
    dtype: NumberFormat = "float32"
    device: str | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """Models that are loaded.

    Attributes:
        looks: how pictures are looked at.
        models: what what is seen is a function of.
        licences: model → licence.
    """

    looks: Looks
    models: Mapping[str, Any]
    licences: Mapping[str, str]


def load(asked: Asked) -> Loaded:
    """Load the models that are asked for; without any, nothing heavy is imported.

    Raises:
        ConfigError: if options need a model that none is named for, or the device cannot be used.
        WeightsError: if weights are missing or of another kind.
        MissingDependencyError: if the aligner's package is not installed.
    """
    if asked.model is None:
        for option, value in (
            ("--photo-from", asked.photo_from),
            ("--question", asked.question),
            ("--caption-prompt", asked.caption_prompt),
            ("--revision", asked.revision),
        ):
            if value is not None:
                raise ConfigError(f"{option} is for a model that looks at pictures; name --model")
    if asked.aligner is not None and asked.verifier is None:
        raise ConfigError("--aligner is for what measures AUs; name --verifier")
    device = "cpu"
    models: dict[str, Any] = {}
    licences: dict[str, str] = {}
    describer: Describer | None = None
    measurer: Measurer | None = None
    measured_by = ""
    if asked.model is not None or asked.verifier is not None:
        device = asked.device or pick_device()
        fix_arithmetic(asked.threads)
    if asked.model is not None:
        described = _describer(asked, device)
        describer = described
        models["model"] = {**described.fingerprint(), "transformers": version("transformers")}
        licences[asked.model] = "that of the model; its card says it"
    if asked.verifier is not None:
        verifier = _verifier(asked, device)
        measurer, measured_by = verifier, verifier.name
        print_of = verifier.fingerprint()
        models["verifier"] = {key: print_of[key] for key in ("weights", "versions")}
        models["verifier"]["aligner"] = type(verifier.aligner).__name__
        licences.update(print_of["licences"])
    if models:
        models["computed"] = {
            "torch": version("torch"),
            "hardware": hardware_kind(device),
            "threads": asked.threads,
            "batch": asked.batch,
        }
    looks = Looks(
        side=asked.side,
        min_side=asked.min_side,
        picture_format=asked.picture_format,
        caption=asked.caption,
        photo_from=asked.photo_from,
        batch=asked.batch,
        describer=describer,
        captioner=asked.model or "",
        describe=asked.model is not None,
        measurer=measurer,
        measured_by=measured_by,
    )
    return Loaded(looks, models, licences)


def _describer(asked: Asked, device: str) -> Any:
    import torch

    from pipelines.preparation.vision_language import VisionLanguageModel

    return VisionLanguageModel.from_pretrained(
        asked.model or "",
        revision=asked.revision,
        device=device,
        dtype=getattr(torch, asked.dtype),
        question=asked.question,
        caption=asked.caption_prompt,
        setting="--model",
    )


def _verifier(asked: Asked, device: str) -> Any:
    from pipelines.libreface.verifier import LibreFaceVerifier

    found = LibreFaceVerifier.from_pretrained(
        asked.verifier or "",
        aligner=asked.aligner,  # pyright: ignore[reportArgumentType] - it refuses other names
        device=device,
    )
    if missing := [au for au in AUS if au not in found.action_units]:
        raise ConfigError(
            f"--verifier {asked.verifier} does not measure {', '.join(missing)}; trainings of "
            f"FineFace learn {', '.join(AUS)}"
        )
    return found
