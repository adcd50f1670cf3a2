"""One model under one protocol: what is asked, what is found, and the numbers of the tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pipelines.evaluation.findings import Findings, Instruments, examine
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.painting import Candidate
from pipelines.evaluation.prompts import AskedPrompt
from pipelines.evaluation.protocols import (
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
from synthgen.action_units import AU_COUNT


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What was found of one model.

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
        return controls(self.protocol.levels, self.neutral.aus[judge], self._sweeps(judge))

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
        levels = len(self.protocol.levels)
        return self.singles.aus[judge].reshape(-1, AU_COUNT, levels, AU_COUNT)


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
        "neutral": neutral_requests(asked),
        "singles": single_requests(asked, protocol.levels),
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
