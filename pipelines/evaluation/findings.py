"""Everything that is measured on the images of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from PIL.Image import Image
from tqdm import tqdm

from pipelines.evaluation.clip_images import ImageEmbedder
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.judges import AUJudge, SecondJudge
from pipelines.evaluation.painting import Candidate
from pipelines.evaluation.protocols import Request
from pipelines.faceid.embedder import FaceEmbedder
from samplers.identities.identity import FACEID_WIDTH
from synthgen.action_units import AU_COUNT


@dataclass(frozen=True, slots=True)
class Instruments:
    """What images are measured with.

    Attributes:
        judges: what measures AUs; at least one.
        traits: what reads traits; None: nothing does.
        embedder: image encoder for CLIP-I; None: there is none.
        recognisers: name → what tells people apart; empty: nothing does.
    """

    judges: Sequence[AUJudge]
    traits: SecondJudge | None
    embedder: ImageEmbedder | None
    recognisers: Mapping[str, FaceEmbedder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was found in the images of some requests, in their order.

    Attributes:
        requests: what was asked for.
        aus: judge → measured AU intensities.
        traits: trait → value read in each image; empty where nothing reads traits.
        embeddings: unit vectors of the images; None where there is no image encoder.
        faces: recogniser → unit vectors of the faces, NaN where there is none.
    """

    requests: Sequence[Request]
    aus: dict[str, Float[np.ndarray, "n aus"]]
    traits: dict[str, list[str]]
    embeddings: Float[np.ndarray, "n width"] | None
    faces: dict[str, Float[np.ndarray, "n 512"]] = field(default_factory=dict)

    def rows(self, places: Sequence[int]) -> "Findings":
        """Return the findings at some places, which may repeat."""
        return Findings(
            [self.requests[place] for place in places],
            {name: found[list(places)] for name, found in self.aus.items()},
            {trait: [read[place] for place in places] for trait, read in self.traits.items()},
            None if self.embeddings is None else self.embeddings[list(places)],
            {name: found[list(places)] for name, found in self.faces.items()},
        )


def examine(
    what: str,
    candidate: Candidate,
    requests: Sequence[Request],
    gallery: Gallery,
    instruments: Instruments,
) -> Findings:
    """Paint what is asked for, or take what was kept, and measure it, batch by batch.

    Args:
        what: name for the progress bar.
        candidate: who paints.
        requests: what is asked for.
        gallery: where images are kept.
        instruments: what measures.

    Raises:
        OutputError: if an image cannot be written.
    """
    parts = []
    with tqdm(total=len(requests), desc=f"{candidate.name}: {what}", unit="image") as bar:
        for batch, images in gallery.batches(candidate, requests):
            parts.append(_measure(batch, images, instruments))
            bar.update(len(batch))
    return _joined(parts, instruments)


def _measure(
    requests: Sequence[Request], images: Sequence[Image], instruments: Instruments
) -> Findings:
    return Findings(
        requests,
        {judge.name: judge.measure(images) for judge in instruments.judges},
        {} if instruments.traits is None else instruments.traits.traits(images),
        None if instruments.embedder is None else instruments.embedder.embed(images),
        {name: one.embed(images).embeddings for name, one in instruments.recognisers.items()},
    )


def _joined(parts: Sequence[Findings], instruments: Instruments) -> Findings:
    empty = np.empty((0, AU_COUNT), np.float32)
    nobody = np.empty((0, FACEID_WIDTH), np.float32)
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return Findings(
        [request for part in parts for request in part.requests],
        {
            judge.name: np.concatenate([empty, *(part.aus[judge.name] for part in parts)])
            for judge in instruments.judges
        },
        {
            trait: [value for part in parts for value in part.traits[trait]]
            for trait in (parts[0].traits if parts else {})
        },
        np.concatenate(embeddings) if embeddings else None,
        {
            name: np.concatenate([nobody, *(part.faces[name] for part in parts)])
            for name in instruments.recognisers
        },
    )
