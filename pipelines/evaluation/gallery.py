"""Images of an evaluation, batch by batch, kept so that a killed evaluation goes on.

A batch is one PNG file, its images side by side, named by a hash of all that it is a function of:
the model, its texts, AUs, seeds, people, and its size. Batches are cut the same way each time, so
that an evaluation that went on has the images of one that was never stopped.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import UnidentifiedImageError
from PIL.Image import Image

from pipelines.evaluation.painting import Candidate
from pipelines.evaluation.protocols import Request
from pipelines.policy import blank_detail
from synthgen.errors import OutputError, WeightsError


@dataclass(frozen=True, slots=True)
class Gallery:
    """Where images are kept, and how many are painted at once.

    Attributes:
        folder: folder of the images; made if missing.
        batch_size: images painted at once; a last batch is filled up with repeats.
    """

    folder: Path
    batch_size: int

    def batches(
        self, candidate: Candidate, requests: Sequence[Request]
    ) -> Iterator[tuple[Sequence[Request], list[Image]]]:
        """Yield batches of requests with their images, painted or kept from before.

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
        images = candidate.paint(filled)
        for detail in filter(None, map(blank_detail, images)):
            raise WeightsError(f"an image of {candidate.name} is blank: {detail}")
        _write(path, images)
        return [image.convert("RGB") for image in images]


def _key(candidate: Candidate, batch: Sequence[Request]) -> str:
    asked = [_asked(request) for request in batch]
    text = json.dumps([candidate.identity, asked], sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _asked(request: Request) -> list[Any]:
    asked = [request.text, list(request.aus), request.prompt.noise]
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
        return None  # painted anew
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
        strip.save(partial, "PNG", compress_level=1)
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write the images {path}: {error.strerror or error}") from error
