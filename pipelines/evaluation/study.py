"""A study of one variant by one judge: measurements, and the findings in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from PIL.Image import Image
from tqdm import tqdm

from pipelines.evaluation.gallery import Candidate, Gallery
from pipelines.evaluation.judges import AUJudge, ImageEmbedder, SecondJudge
from pipelines.evaluation.protocols import (
    AskedPrompt,
    Protocol,
    Request,
    au_array,
    combined_requests,
    in_words,
    neutral_requests,
    single_requests,
)
from pipelines.evaluation.statistics import (
    Control,
    Errors,
    au_errors,
    controls,
    mean_cosine,
    overall_pearson,
    trait_agreement,
)
from pipelines.faceid.embedder import FaceEmbedder
from samplers.identities.identity import FACEID_WIDTH


@dataclass(frozen=True, slots=True)
class Instruments:
    """Judges that images are measured with.

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
    """Measurements of the images of some requests, in their order.

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
    """Generate what is asked for, or take what was kept, and measure it, batch by batch.

    Args:
        what: name for the progress bar.
        candidate: what generates.
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
    nobody = np.empty((0, FACEID_WIDTH), np.float32)
    embeddings = [part.embeddings for part in parts if part.embeddings is not None]
    return Findings(
        [request for part in parts for request in part.requests],
        {
            judge.name: np.concatenate([part.aus[judge.name] for part in parts])
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


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """Findings on one model.

    Attributes:
        name: name of the model.
        protocol: what was asked.
        neutral: the neutral face of each prompt.
        singles: each AU alone: prompts, AUs, levels.
        combined: combinations: prompts, combinations.
    """

    name: str
    protocol: Protocol
    neutral: Findings
    singles: Findings
    combined: Findings

    def errors(self, kind: str, judge: str) -> Errors:
        """Return how far AUs are off, in `singles` or `combined`."""
        found = self._of(kind)
        return au_errors(au_array(found.requests), found.aus[judge])

    def neutral_errors(self, kind: str, judge: str) -> Errors:
        """Return how far off the neutral face of each prompt would be: what doing nothing gives."""
        found = self._of(kind)
        return au_errors(au_array(found.requests), self._neutral_for(found).aus[judge])

    def controls(self, judge: str) -> dict[str, Control]:
        """Return AU → how it follows its intensity."""
        return controls(
            self.protocol.levels,
            self.neutral.aus[judge],
            self._sweeps(judge),
            self.protocol.action_units,
        )

    def overall_pearson(self, judge: str) -> float:
        """Return the correlation over all AUs' own images."""
        return overall_pearson(self.protocol.levels, self.neutral.aus[judge], self._sweeps(judge))

    def likeness(self, kind: str, reference: Findings) -> float:
        """Return CLIP-I: how alike images with AUs are to the reference of their prompt.

        Args:
            kind: `singles` or `combined`.
            reference: one image for each prompt, in their order; it may hold further prompts.

        Returns:
            Mean cosine; NaN where there is no image encoder.
        """
        found = self._of(kind)
        beside = reference.rows([request.prompt.number for request in found.requests])
        if found.embeddings is None or beside.embeddings is None:
            return float("nan")
        return mean_cosine(found.embeddings, beside.embeddings)

    def agreement(self, kind: str) -> dict[str, float]:
        """Return trait → share of images that show what their prompt names."""
        return trait_shares(self._of(kind))

    def _of(self, kind: str) -> Findings:
        return {"singles": self.singles, "combined": self.combined, "neutral": self.neutral}[kind]

    def _neutral_for(self, found: Findings) -> Findings:
        return self.neutral.rows([request.prompt.number for request in found.requests])

    def _sweeps(self, judge: str) -> Float[np.ndarray, "P aus L aus"]:
        levels, aus = len(self.protocol.levels), len(self.protocol.action_units)
        return self.singles.aus[judge].reshape(-1, aus, levels, aus)


def study(
    candidate: Candidate,
    prompts: Sequence[AskedPrompt],
    protocol: Protocol,
    seed: int,
    gallery: Gallery,
    instruments: Instruments,
    told: bool = False,
) -> Study:
    """Ask a model for all images of a protocol and measure them.

    Args:
        candidate: the model.
        prompts: at least as many as the protocol has; the first ones are asked.
        protocol: what is asked.
        seed: seed of the evaluation.
        gallery: where images are kept.
        instruments: what measures.
        told: put the AUs into the prompts' words; for models that know no AUs.

    Raises:
        OutputError: if an image cannot be written.
    """
    asked = prompts[: protocol.prompts]
    kinds = {
        "neutral": neutral_requests(asked, protocol.action_units),
        "singles": single_requests(asked, protocol.levels, protocol.action_units),
        "combined": combined_requests(asked, protocol, seed),
    }
    found = {
        kind: examine(kind, candidate, _said(requests, seed, told), gallery, instruments)
        for kind, requests in kinds.items()
    }
    return Study(candidate.name, protocol, **found)


def trait_shares(found: Findings) -> dict[str, float]:
    """Return trait → share of images that show what their prompt names."""
    return trait_agreement([request.prompt.traits for request in found.requests], found.traits)


def _said(requests: Sequence[Request], seed: int, told: bool) -> Sequence[Request]:
    return in_words(requests, seed) if told else requests
