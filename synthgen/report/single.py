"""One picture, from a prompt and AUs."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.loading import fix_arithmetic, load_source, pick_device
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_index, au_vector
from synthgen.config import PipelineConfig, ProceduralConfig, load_config
from synthgen.errors import ActionUnitError, OutputError

_DRAWN = ProceduralConfig(name="procedural", size=512, batch_size=1)


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
        config: configuration whose pipeline paints; None draws a portrait of 512×512.
        overrides: `key=value` for the configuration.
        seed: seed of the noise and of what the prompt leaves open.

    Raises:
        ActionUnitError: if an AU or its intensity is not allowed.
        OutputError: if the file cannot be written.
    """
    aus = parse_intensities(intensities)
    pipeline: PipelineConfig = _DRAWN
    if config is not None:
        pipeline = load_config(config, overrides).pipeline.model_copy(update={"batch_size": 1})
    fix_arithmetic(pipeline.threads)
    source = load_source(pipeline, pick_device())
    (picture,) = source.paint([Attempt(_spec(prompt, aus, seed), 0, seed)])
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


def _spec(prompt: str, aus: tuple[float, ...], seed: int) -> SampleSpec:
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
