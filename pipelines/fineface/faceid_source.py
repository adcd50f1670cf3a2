"""Paints the samples of a run that shows given people."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from pipelines.fineface.diffusion_source import DiffusionSource, load_pipeline
from pipelines.fineface.face_adapter import embedder_of, load_face_adapter
from pipelines.fineface.faceid_weights import agreed_embedder, faceid_checksums, locate_faceid
from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
from samplers.identities.face_identity import FaceIdentity
from samplers.spec import Attempt, SampleSpec
from synthgen.config import FaceIdConfig
from synthgen.errors import FaceEmbeddingError


class FaceIdSource(DiffusionSource):
    """An `ImageSource` of FineFace images that show the person of each spec.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Attributes:
        embedder: fingerprint of the recogniser whose embeddings the weights understand.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another, or
            nothing says which recogniser they expect.
    """

    name = "fineface-faceid"

    def __init__(self, config: FaceIdConfig, device: str) -> None:
        self._files = locate_faceid(config.weights)
        adapter = self._files.face_adapter
        self.embedder = agreed_embedder(self._files.embedder, embedder_of(adapter), adapter)
        pipeline = load_pipeline(FineFaceIPAdapterPipeline, self._files.folders, config, device)
        load_face_adapter(pipeline, adapter)
        self._faces, self._ip_scale = config.faces, config.ip_scale
        super().__init__(config, pipeline)

    def _checksums(self) -> dict[str, str]:
        return {**faceid_checksums(self._files), **self._stored_alpha(self._files.folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._files.licences

    def check(self, spec: SampleSpec) -> None:
        """Check that a spec shows a person whose embeddings these weights understand.

        Raises:
            FaceEmbeddingError: if it has no embeddings, or those of another recogniser.
        """
        self._person(spec)

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        people = [self._person(attempt.spec) for attempt in attempts]
        return {
            **super()._arguments(attempts),
            "faceid_embeds": np.stack([shown_faces(person, self._faces) for person in people]),
            "ip_scale": self._ip_scale,
        }

    def _person(self, spec: SampleSpec) -> FaceIdentity:
        person = spec.faceid
        if person is None:
            raise FaceEmbeddingError(
                f"{spec.sample_id} has no face embedding; the pipeline {self.name} shows people of "
                "the identity source faceid"
            )
        if person.embedder != self.embedder:
            raise FaceEmbeddingError(
                f"the embeddings of {person.identity_id} were made by {person.embedder!r}; the "
                f"IP-Adapter {self._files.face_adapter.name} was trained with {self.embedder!r}"
            )
        return person


def shown_faces(person: FaceIdentity, faces: int) -> Float32[np.ndarray, "faces 512"]:
    """Return a number of a person's faces: the first ones, in turn where there are fewer."""
    return person.embeddings[np.arange(faces) % len(person.embeddings)]
