"""Tell how far FaceLandmarker's own blendshapes follow each AU of the drawn faces, edition 2.

Each AU is drawn alone at intensities 0 to 5 on the same people, at 128 pixels, heads turned as
drawn people's are. Prints Markdown: the mean of the AU's own blendshapes at rest and at 5, and the
mean over people of Pearson's r with the intensity within one person. A person whose blendshapes do
not move at all has r 0.

    python benchmarks/drawn_blendshapes.py face_landmarker.task
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipelines.blendshapes.landmarker import BLENDSHAPES, FaceLandmarker
from pipelines.evaluation.outside_judges import OWN_BLENDSHAPES
from pipelines.procedural import DRAWN_AUS, random_identity, render
from synthgen.dataset.markdown import number, table

FIRST_PERSON = 730_000
LEVELS = np.arange(6.0)


def main() -> None:
    """Draw, read and print."""
    parser = argparse.ArgumentParser(description="Blendshapes of drawn faces, AU by AU.")
    parser.add_argument("landmarker", type=Path, help="face_landmarker.task")
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument(
        "--aus", nargs="*", default=[a for a in DRAWN_AUS.names if a in OWN_BLENDSHAPES]
    )
    options = parser.parse_args()
    reader = FaceLandmarker(options.landmarker, faces=1)
    rows = []
    for au in options.aus:
        read = _read(reader, au, options.people)
        means = np.nanmean(read, axis=0)
        r = float(np.mean([_correlation(person) for person in read]))
        rows.append(
            [au, ", ".join(OWN_BLENDSHAPES[au]), number(means[0]), number(means[-1]), number(r)]
        )
    print(table(["AU", "own blendshapes", "at rest", "at 5", "r within a person"], rows))


def _read(reader: FaceLandmarker, au: str, people: int) -> Float[np.ndarray, "people levels"]:
    """Return the mean of an AU's own blendshapes; NaN where no face is found."""
    own = [BLENDSHAPES.index(name) for name in OWN_BLENDSHAPES[au]]
    read = np.full((people, len(LEVELS)), np.nan)
    for i in range(people):
        person = random_identity(FIRST_PERSON + i, edition=2)
        for j, level in enumerate(LEVELS.tolist()):
            face = reader.read(render(person, DRAWN_AUS.vector({au: level}), 128))
            if face is not None:
                read[i, j] = face.blendshapes[own].mean()
    return read


def _correlation(read: Float[np.ndarray, " levels"]) -> float:
    seen = ~np.isnan(read)
    if seen.sum() < 3 or read[seen].std() < 1e-6:
        return 0.0
    return float(np.corrcoef(LEVELS[seen], read[seen])[0, 1])


if __name__ == "__main__":
    main()
