"""A strip of one face: one AU from absent to maximum, everything else the same."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.loading import fix_arithmetic, load_source, load_verifier, pick_device
from samplers.spec import Attempt
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY, au_index
from synthgen.dataset import contact_sheet
from synthgen.errors import ActionUnitError
from synthgen.report.single import (
    config_or_quickstart,
    one_sample,
    parse_intensities,
    refuse_blank,
    save_picture,
)

LEVELS = tuple(range(int(MIN_INTENSITY), int(MAX_INTENSITY) + 1))
"""Intensities that are shown, from left to right."""

_SIDE = 160
"""Side of a picture in the strip [pixels]."""


def write_sweep(
    prompt: str,
    swept: str,
    intensities: Sequence[str],
    to: Path,
    config: Path | None,
    overrides: Sequence[str],
    seed: int,
) -> None:
    """Paint a prompt with one AU at 0, 1, 2, 3, 4, 5, measure it, and write one strip.

    All pictures come from the same noise, so that the AU alone makes the difference.

    Args:
        prompt: what to show.
        swept: the AU, such as `AU12`.
        intensities: further AUs, `AU6=2` and the like, the same in each picture.
        to: the file; its ending says its format.
        config: configuration whose pipeline paints and whose verifier measures; None: the example
            `quickstart`.
        overrides: `key=value` for the configuration.
        seed: seed of the noise and of what the prompt leaves open.

    Raises:
        ActionUnitError: if an AU or its intensity is not allowed, or the AU is given twice.
        OutputError: if the file cannot be written.
    """
    place, aus = au_index(swept), parse_intensities(intensities)
    if aus[place]:
        raise ActionUnitError(f"{swept} is swept from 0 to 5; leave out --au {swept}=…")
    requests = [(*aus[:place], float(level), *aus[place + 1 :]) for level in LEVELS]
    attempts = [Attempt(one_sample(prompt, request, seed), 0, seed) for request in requests]
    loaded = config_or_quickstart(config, overrides)
    fix_arithmetic(loaded.pipeline.threads)
    device = pick_device()
    pictures = load_source(loaded.pipeline, device).paint(attempts)
    refuse_blank(pictures, loaded.pipeline)
    found = load_verifier(loaded.verify, device).measure(pictures)
    legends = [
        f"{swept} asked {level}\n{f'found {row[place]:.1f}' if faces else 'no face found'}"
        for level, row, faces in zip(LEVELS, found.aus, found.faces, strict=True)
    ]
    save_picture(contact_sheet(pictures, legends, columns=len(LEVELS), size=_SIDE), to)
