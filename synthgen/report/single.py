"""One picture, from a prompt and AUs."""

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from pipelines.loading import fix_arithmetic, load_source, pick_device
from pipelines.policy import blank_detail
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_index, au_vector
from synthgen.config import PipelineConfig, RunConfig, load_config
from synthgen.errors import ActionUnitError, OutputError, WeightsError
from synthgen.report.examples import example_file


def write_image(
    prompt: str,
    intensities: Sequence[str],
    to: Path,
    config: Path | None,
    overrides: Sequence[str],
    seed: int,
) -> None:
    """Paint one picture and write it; the ending of the file says its format.

    Args:
        prompt: what to show.
        intensities: `AU12=5` and the like.
        to: the file.
        config: configuration whose pipeline paints; None: the example `quickstart`.
        overrides: `key=value` for the configuration.
        seed: seed of the noise and of what the prompt leaves open.

    Raises:
        ActionUnitError: if an AU or its intensity is not allowed.
        OutputError: if the file cannot be written.
        WeightsError: if the picture is blank.
    """
    attempt = Attempt(one_sample(prompt, parse_intensities(intensities), seed), 0, seed)
    pipeline = config_or_quickstart(config, overrides).pipeline
    fix_arithmetic(pipeline.threads)
    (picture,) = load_source(pipeline, pick_device()).paint([attempt])
    refuse_blank([picture], pipeline)
    save_picture(picture, to)


def refuse_blank(pictures: Sequence[Image], pipeline: PipelineConfig) -> None:
    """Refuse pictures of one colour, which nobody asks a model for.

    Raises:
        WeightsError: if one is.
    """
    for picture in pictures:
        if (detail := blank_detail(picture, getattr(pipeline, "dtype", ""))) is not None:
            raise WeightsError(f"the picture is blank: {detail}")


def config_or_quickstart(config: Path | None, overrides: Sequence[str]) -> RunConfig:
    """Read a configuration; None: the example `quickstart`.

    Raises:
        ConfigError: as `load_config`.
    """
    return load_config(config or example_file("quickstart"), overrides)


def save_picture(picture: Image, to: Path) -> None:
    """Write a picture in the format that the ending of the file says.

    Raises:
        OutputError: if the file cannot be written, or its ending names no format.
    """
    try:
        picture.save(to)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {to}: {error}") from error


def parse_intensities(items: Sequence[str]) -> tuple[float, ...]:
    """Turn `["AU6=2.5", "AU12=5"]` into an AU vector.

    Raises:
        ActionUnitError: if an item is not of that form, or its AU does not exist.
    """
    intensities: dict[str, float] = {}
    for item in items:
        name, _, value = item.partition("=")
        au_index(name)
        try:
            intensities[name] = float(value)
        except ValueError as error:
            raise ActionUnitError(f"--au {item!r} must look like AU12=5") from error
    return au_vector(intensities)


def one_sample(prompt: str, aus: tuple[float, ...], seed: int) -> SampleSpec:
    """Return the spec of a picture that belongs to no run.

    Args:
        prompt: what to show.
        aus: AU vector.
        seed: seed of what the prompt leaves open.
    """
    return SampleSpec(
        index=0,
        split="",
        position=0,
        replacement=0,
        stratum="",
        aus=aus,
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=seed,
        prompt=prompt,
        negative_prompt="",
    )
