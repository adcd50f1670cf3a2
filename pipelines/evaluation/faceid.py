"""FaceID evaluation: whether images show the people and the AUs that they were asked to show.

Images are kept in a folder as they are generated, as for `synthgen evaluate fineface`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image
from pydantic import Field

from pipelines.evaluation.faceid_report import (
    CONDITIONING,
    EXPRESSIONS,
    INDEPENDENT,
    Generated,
    PeopleResults,
    Unscaled,
    document,
    drawn_pictures,
    numbers_of,
    people_requests,
)
from pipelines.evaluation.gallery import (
    Candidate,
    Gallery,
    GenerationSettings,
    candidate_of,
    settings_of,
    write_document,
)
from pipelines.evaluation.judges import VerifierJudge
from pipelines.evaluation.protocols import Request
from pipelines.evaluation.study import Instruments, examine
from pipelines.faceid.drawn import DrawnFaceEmbedder, embed_drawn
from pipelines.faceid.embedder import FaceEmbedder
from pipelines.fineface.section import FaceIdConfig, FaceIdWeights, FineFaceConfig, FineFaceWeights
from pipelines.fineface.source import FaceIdSource, FineFaceSource
from pipelines.fineface.weights import FACE_ADAPTER_FILE, adapter_aus
from pipelines.libreface import LibreFaceVerifier
from pipelines.loading import fix_arithmetic, pick_device
from pipelines.procedural.drawn_aus import edition_of
from synthgen.choices import NoiseOwner
from synthgen.errors import WeightsError


class FaceIdEvaluation(GenerationSettings):
    """An evaluation; its document is a function of this and of the files that it names."""

    weights: str = Field(
        description="Face adapter: 'mini', or a folder that `synthgen train faceid` wrote."
    )
    base: str = Field(
        default="mini", description="Stable Diffusion base: 'mini', a folder, or a Hub id."
    )
    fineface: str = Field(default="mini", description="FineFace files: likewise.")
    embedder: str = Field(
        default="mini",
        description="Face embedder that the adapter was trained with: 'mini', or a file of "
        "`synthgen train face-embedder`.",
    )
    judge_embedder: Path = Field(
        description="Independent face embedder, which only judges: a file of `synthgen train "
        "face-embedder` with other seeds."
    )
    verifier: str = Field(
        default="mini", description="AU network that judges: 'mini', 'libreface', or a file."
    )
    people: int = Field(default=100, ge=2, le=100_000, description="Drawn people, never trained.")
    prompt_template: str = Field(
        default="a portrait of a person",
        min_length=1,
        description="Prompt of every image; slots in braces, such as {person} or {hair}, are "
        "filled with the drawn person's traits.",
    )
    noise: NoiseOwner = Field(
        default="sample",
        description="Whose noise an image starts from: its own, or that of its person, which "
        "itself makes the images of a person alike.",
    )
    ip_scale: float = Field(default=1.0, description="Scale of the face branch.")

    def pipeline(self, ip_scale: float | None = None) -> FaceIdConfig:
        """Return the configuration of the model with its face adapter.

        Args:
            ip_scale: another scale of the face branch.
        """
        weights = FaceIdWeights(
            base=self.base,
            fineface=self.fineface,
            weight_prefix="",
            ip_adapter=self.weights,
            weight_name=FACE_ADAPTER_FILE,
        )
        return FaceIdConfig(
            name="fineface-faceid",
            weights=weights,
            au_scale=self.au_scale,
            ip_scale=self.ip_scale if ip_scale is None else ip_scale,
            **self.sampling(self.base),
        )

    def text_pipeline(self) -> FineFaceConfig:
        """Return the configuration of the same model without faces."""
        return FineFaceConfig(
            name="fineface",
            weights=FineFaceWeights(base=self.base, fineface=self.fineface),
            au_scale=self.au_scale,
            **self.sampling(self.base),
        )

    def command(self) -> str:
        """Return the command that makes the document again, without where things are written."""
        return self.written("synthgen evaluate faceid")


class FaceIdEvaluator:
    """Runs an evaluation.

    Args:
        settings: what is evaluated, and how.
        images: folder in which images are kept.

    Raises:
        WeightsError: if weights are missing or of another format, or the embedder that judges is
            the one that conditions.
        ConfigError: if the prompt cannot be filled.
    """

    def __init__(self, settings: FaceIdEvaluation, images: Path) -> None:
        fix_arithmetic(settings.threads)
        self._settings = settings
        self._device = pick_device()
        self._gallery = Gallery(images, settings.batch_size)
        self._recognisers = self._load_recognisers()
        verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=self._device)
        self._aus = adapter_aus(settings.text_pipeline().weights, fetch=True)
        self._judge = VerifierJudge(verifier, self._aus)
        self._instruments = Instruments([self._judge], None, None, self._recognisers)
        self._wanted = {
            name: embed_drawn(numbers_of(settings.people), one, edition_of(self._aus))
            for name, one in self._recognisers.items()
        }
        self._requests = people_requests(
            self._wanted[CONDITIONING],
            self._recognisers[CONDITIONING].fingerprint,
            settings.prompt_template,
            settings.noise,
            settings.seed,
            self._aus,
        )

    def run(self) -> PeopleResults:
        """Generate and measure everything.

        Raises:
            WeightsError: if weights are missing or do not fit.
            FaceEmbeddingError: if the face adapter was trained with another embedder.
            OutputError: if an image cannot be written.
        """
        settings = self._settings
        shown = self._shown(settings.pipeline())
        text = self._text()
        return PeopleResults(
            command=settings.command(),
            template=settings.prompt_template,
            noise=settings.noise,
            ip_scale=settings.ip_scale,
            judge=self._judge.name,
            recognisers={name: one.name for name, one in self._recognisers.items()},
            people=np.arange(settings.people).repeat(len(EXPRESSIONS)),
            wanted=self._wanted,
            shown=self._examined(shown),
            text=self._examined(text),
            drawn=self._examined(drawn_pictures(self._aus)),
            unscaled=self._unscaled(text),
            files=self._files(shown),
        )

    def _load_recognisers(self) -> dict[str, FaceEmbedder]:
        conditioning, judging = self._settings.embedder, self._settings.judge_embedder
        found = {
            CONDITIONING: DrawnFaceEmbedder.from_pretrained(conditioning, self._device),
            INDEPENDENT: DrawnFaceEmbedder.from_pretrained(judging, self._device),
        }
        if found[CONDITIONING].fingerprint == found[INDEPENDENT].fingerprint:
            raise WeightsError(
                f"--judge-embedder {judging} is the embedder that conditions ({conditioning}); "
                "give one that `synthgen train face-embedder` made with other seeds"
            )
        return dict(found)

    def _shown(self, config: FaceIdConfig) -> Candidate:
        source = FaceIdSource(config, self._device)
        return candidate_of("FineFace with faces", source, settings_of(config))

    def _text(self) -> Candidate:
        config = self._settings.text_pipeline()
        source = FineFaceSource(config, self._device)
        return candidate_of("text alone", source, settings_of(config))

    def _examined(self, candidate: Candidate) -> Generated:
        found = examine("people", candidate, self._requests, self._gallery, self._instruments)
        return Generated(candidate.name, found)

    def _unscaled(self, text: Candidate) -> Unscaled:
        """Compare one batch of the face adapter at scale 0 with the text variant."""
        candidate = self._shown(self._settings.pipeline(ip_scale=0.0))
        first = self._requests[: self._gallery.batch_size]
        pairs = zip(self._generated(candidate, first), self._generated(text, first), strict=True)
        apart = [_difference(one, other) for one, other in pairs]
        return Unscaled(len(apart), sum(value == 0 for value in apart), max(apart))

    def _generated(self, candidate: Candidate, requests: Sequence[Request]) -> list[Image]:
        batches = self._gallery.batches(candidate, requests)
        return [image for _, images in batches for image in images]

    def _files(self, shown: Candidate) -> dict[str, str]:
        judges = {f"{self._judge.name}: {name}": sha for name, sha in self._judge.weights.items()}
        faces = {
            f"{name}: {file}": sha256
            for name, one in self._recognisers.items()
            for file, sha256 in one.provenance()["weights"].items()
        }
        return {**judges, **faces, **shown.identity["weights"]}


def evaluate_faceid(settings: FaceIdEvaluation, to: str | Path, images: str | Path) -> Path:
    """Evaluate a model and write the document.

    Args:
        settings: what is evaluated, and how.
        to: Markdown file to write.
        images: folder in which images are kept.

    Returns:
        The document.

    Raises:
        WeightsError: if weights are missing or of another format, or the embedder that judges is
            the one that conditions.
        FaceEmbeddingError: if the face adapter was trained with another embedder.
        ConfigError: if the prompt cannot be filled.
        OutputError: if an image or the document cannot be written.
    """
    text = document(FaceIdEvaluator(settings, Path(images)).run())
    path = Path(to)
    write_document(path, text)
    return path


def _difference(one: Image, other: Image) -> int:
    """Return the largest difference of two images' pixels [grey values]."""
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())
