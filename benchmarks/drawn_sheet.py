"""Paint 48 people of the drawings' second edition on one sheet, each with an expression.

    python benchmarks/drawn_sheet.py docs/images/second-edition.png

Expressions are those of the prior `emotions`, seven categories in turn, at intensities 2 to 5.
"""

import sys

from PIL import Image

from pipelines.procedural import DRAWN_AUS, random_identity, render
from samplers import load_prior

COLUMNS, ROWS, SIZE = 8, 6, 128
FIRST_PERSON = 17_000
CATEGORIES = ["neutral", "happy", "sad", "surprised", "fearful", "angry", "disgusted"]


def main() -> None:
    """Paint and write."""
    prior = load_prior(
        {
            "prior": "emotions",
            "categories": CATEGORIES,
            "intensity": {"low": 2, "high": 5},
            "action_units": list(DRAWN_AUS.names),
        }
    )
    sheet = Image.new("RGB", (COLUMNS * SIZE, ROWS * SIZE))
    for i, aus in enumerate(prior.sample(COLUMNS * ROWS, seed=17).tolist()):
        face = render(random_identity(FIRST_PERSON + i, edition=2), aus, SIZE)
        sheet.paste(face, (i % COLUMNS * SIZE, i // COLUMNS * SIZE))
    sheet.quantize(256, dither=Image.Dither.NONE).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
