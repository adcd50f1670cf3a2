"""Edits of one picture: another expression, or the way from one expression to another.

The pipeline is that of a run's configuration, so that weights, sampler and scales are written once.
The picture is its reference image; the person comes from its face, and expressions from faces of
other pictures (SMIRK) or from Action Units (a bank). All pictures of a way start from one noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL.Image import Image
from PIL.Image import registered_extensions as endings

from pipelines.faceid.references import reference_image
from pipelines.faceid.verifier import load_embedder
from pipelines.interfaces import ImageSource
from pipelines.loading import fix_arithmetic, load_source, pick_device
from pipelines.pictures import open_picture
from pipelines.smirk.extractors import load_extractor
from pipelines.smirk.faces import ExpressionReader, FinderName, load_finder
from samplers.flame.expression import FlameExpression
from samplers.flame.rendering import FlameRenderer
from samplers.identities.identity import FaceIdentity
from samplers.identities.reference import ReferenceImage
from samplers.spec import Attempt
from synthgen.config import RunConfig, load_config
from synthgen.config.components import either
from synthgen.config.pipeline import PIPELINES
from synthgen.config.priors.flame import FlameConfig
from synthgen.config.verify import EmbedderConfig
from synthgen.dataset import contact_sheet
from synthgen.errors import ConfigError, OutputError, PictureError
from synthgen.foreign import excerpt
from synthgen.report.pictures import (
    mark_of_run,
    one_sample,
    parse_intensities,
    refuse_blank,
    save_picture,
)

NEUTRAL = "neutral"
"""Beginning of a way: the face of the bank that shows no AU."""

MOST_FRAMES = 1000

_NEEDED = ("faceid", "flame", "reference")
_STRIP_SIDE = 256
_STRIP_FRAMES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Files that say who is shown, and which FLAME numbers an expression has.

    Attributes:
        embedder: what embeds the face of the picture, such as Arc2Face's own recogniser.
        bank: bank that renders AUs; None: that of the configuration.
        smirk: SMIRK's weights, for expressions of pictures; or an extractor of drawn faces.
        bgr: whether SMIRK is fed with the colours the other way round.
        finder: what finds faces for SMIRK.
    """

    embedder: EmbedderConfig
    bank: Path | None = None
    smirk: Path | None = None
    bgr: bool = False
    finder: FinderName = "mediapipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Expressions that are asked for.

    Attributes:
        aus: `AU12=4` and the like.
        expression: a picture whose expression is taken instead.
        begin: picture whose expression the way begins with, or `neutral`; None: that of the picture
            that is edited.
        frames: pictures of the way; None: one picture, of the expression asked for.
        strip: whether they become one strip.
    """

    aus: Sequence[str] = ()
    expression: Path | None = None
    begin: str | None = None
    frames: int | None = None
    strip: bool = False

    @property
    def count(self) -> int:
        """Pictures that are made."""
        return self.frames or (_STRIP_FRAMES if self.strip else 1)


def edit_picture(
    picture: Path,
    to: Path,
    config: Path,
    overrides: Sequence[str],
    way: Way,
    means: Means,
    seed: int = 0,
) -> list[Path]:
    """Edit the face of a picture, and write its square, aligned as FFHQ's: 512×512.

    Args:
        picture: a picture of one face.
        to: the file; its ending says its format. Frames of a way are numbered: `out-00.png`.
        config: configuration of a run whose pipeline edits pictures.
        overrides: `key=value` for the configuration.
        way: what is asked for.
        means: where its numbers come from.
        seed: seed of the noise, and of which of a bank's faces shows AUs.

    Returns:
        The files.

    Raises:
        PictureError: if a picture cannot be read, or shows no face or several.
        ConfigError: if the pipeline edits no pictures, or what is asked for lacks its means.
        BankError: if the bank does not serve.
        ActionUnitError: if an AU or its intensity is not allowed.
        WeightsError: if weights are missing or do not fit, or a picture is blank.
        FaceEmbeddingError: if the pipeline understands another recogniser alone.
        OutputError: if the file cannot be written.
    """
    _check_way(way, to)
    files = _files(way, to, picture)
    run = _configured(config, overrides, means, seed)
    aus = parse_intensities(way.aus, run)
    asked = _Expressions(run, means, config)
    image = _opened(picture)
    last = asked.of_picture(way.expression) if way.expression else asked.of_aus(aus)
    ways = [last] if way.count == 1 else _between(_first(way, asked, picture), last, way.count)
    person, reference = _who(image, picture, means.embedder)
    fix_arithmetic(run.pipeline.threads)
    source = load_source(run.pipeline, pick_device())
    made = _painted(source, run, [_Conditions(aus, person, reference, one) for one in ways], seed)
    refuse_blank(made, run.pipeline)
    if way.strip:
        legends = [f"{100 * share:.0f} %" for share in np.linspace(0, 1, len(made))]
        sheet = contact_sheet(made, legends, columns=len(made), size=_STRIP_SIDE)
        made = [sheet]
    mark = mark_of_run(run, _NEEDED)
    for one, file in zip(made, files, strict=True):
        save_picture(one, file, mark)
    return files


def _check_way(way: Way, to: Path) -> None:
    """Refuse words that contradict each other, and a file that could not be written, before work.

    Raises:
        ConfigError: for the former.
        OutputError: for the latter.
    """
    if way.aus and way.expression:
        raise ConfigError("--au and --expression both say the expression; give one of them")
    if not way.aus and way.expression is None:
        raise ConfigError(
            "nothing says which expression is wanted; give --au AU12=4, or --expression PHOTO"
        )
    if way.begin is not None and way.count == 1:
        raise ConfigError("--from begins a way; give --frames N or --sweep too")
    if to.suffix.lower() not in endings():
        raise OutputError(f"cannot write {excerpt(to)}: its ending names no format of pictures")
    if not to.absolute().parent.is_dir():
        raise OutputError(f"cannot write {excerpt(to)}: its folder does not exist")


def _files(way: Way, to: Path, picture: Path) -> list[Path]:
    """Return the files that are written: one, or one for each picture of a way.

    Raises:
        OutputError: if one is a picture that is read, of which there may be no other.
    """
    files = [to]
    if way.count > 1 and not way.strip:
        digits = max(2, len(str(way.count - 1)))
        files = [to.with_stem(f"{to.stem}-{number:0{digits}d}") for number in range(way.count)]
    begin = None if way.begin in (None, NEUTRAL) else Path(way.begin)
    read = {one.resolve() for one in (picture, way.expression, begin) if one is not None}
    if lost := next((file for file in files if file.resolve() in read), None):
        raise OutputError(
            f"cannot write {excerpt(lost)}: it is a picture that is read; choose another file with "
            "--to"
        )
    return files


def _configured(config: Path, overrides: Sequence[str], means: Means, seed: int) -> RunConfig:
    """Read a configuration and make of it one that edits pictures.

    Raises:
        ConfigError: if its pipeline does not, and as `load_config`.
    """
    run = load_config(config, overrides)
    lacking = [name for name in _NEEDED if name not in run.pipeline.used()]
    if lacking:
        able = [
            repr(name)
            for name, section in PIPELINES.sections().items()
            if set(_NEEDED) <= section.needs | section.takes
        ]
        mend = f"; set pipeline.name to {either(able)}" if able else ""
        raise ConfigError(
            f"the pipeline {run.pipeline.name!r} of {config} does not edit expressions of "
            f"pictures: it uses no {lacking[0]}{mend}"
        )
    expressions, identities = run.expressions, run.identities
    if means.bank is not None:
        section = expressions.flame or FlameConfig(bank=str(means.bank))
        flame = section.with_bank(str(means.bank))
        expressions = expressions.model_copy(update={"flame": flame})
    if key := identities.gives_with.get("reference"):  # so that the pipeline checks what it needs
        identities = identities.model_copy(update={key: True})
    changed = {"expressions": expressions, "identities": identities, "seed": seed}
    run = run.model_copy(update=changed)
    run.pipeline.check(run)
    return run


@dataclass(frozen=True)
class _Expressions:
    """FLAME numbers of pictures and of AUs; networks and banks are read when they are needed."""

    run: RunConfig
    means: Means
    config: Path

    def of_picture(self, picture: Path) -> FlameExpression:
        """Return the expression of the one face of a picture.

        Raises:
            PictureError: if it shows no face or several.
        """
        found = self._reader.read(_opened(picture))
        _refuse_faces(picture, 0 if found is None else found.faces)
        assert found is not None  # noqa: S101 - refused just above
        return FlameExpression(found.flame, excerpt(picture.name))

    def of_aus(self, aus: tuple[float, ...]) -> FlameExpression:
        """Return the expression by which the bank shows AUs.

        Raises:
            ConfigError: if there is no bank, or no face of it serves.
        """
        if self._renderer is None:
            raise ConfigError(
                f"AUs are shown by the faces of a bank, and {self.config} names none; give --bank "
                "bank.parquet, or set expressions.flame"
            )
        return self._renderer.render("", 0, np.array([aus], np.float32))[0]

    @cached_property
    def _renderer(self) -> FlameRenderer | None:
        return FlameRenderer.from_config(self.run)

    @cached_property
    def _reader(self) -> ExpressionReader:
        means, flame = self.means, self.run.expressions.flame
        if means.smirk is None:
            raise ConfigError(
                "the expression of a picture is read by SMIRK; give its weights, --smirk "
                "SMIRK_em1.pt, or take AUs alone: --au AU12=4, and --from neutral for a way"
            )
        encoder = load_extractor(means.smirk, bgr=means.bgr)
        if flame is not None and flame.extractor != encoder.name:
            raise ConfigError(
                f"expressions.flame.extractor is {flame.extractor!r}, and {excerpt(means.smirk)} "
                f"reads pictures as {encoder.name!r}; numbers of two extractors mean different "
                "things"
            )
        return ExpressionReader(encoder, load_finder(means.finder))


def _first(way: Way, asked: _Expressions, picture: Path) -> FlameExpression:
    """Return the expression that a way begins with."""
    if way.begin == NEUTRAL:
        return asked.of_aus((0.0,) * len(asked.run.expressions.au_set))
    return asked.of_picture(picture if way.begin is None else Path(way.begin))


def _between(first: FlameExpression, last: FlameExpression, count: int) -> list[FlameExpression]:
    """Return expressions at equal distances, from the first to the last.

    Bounds of eyelids and jaw hold for all of them, since they hold for both ends.
    """
    start, stop = first.numbers.astype(np.float64), last.numbers.astype(np.float64)
    inner = [
        FlameExpression(
            ((1 - share) * start + share * stop).astype(np.float32),
            f"{1 - share:.3f} {first.source}, {share:.3f} {last.source}",
        )
        for share in np.linspace(0, 1, count)[1:-1].tolist()
    ]
    return [first, *inner, last]


def _who(
    image: Image, picture: Path, embedder: EmbedderConfig
) -> tuple[FaceIdentity, ReferenceImage]:
    """Return the person in a picture, and the picture as a reference.

    Raises:
        PictureError: if it shows no face or several.
    """
    loaded = load_embedder(embedder)
    found = loaded.embed([image])
    _refuse_faces(picture, int(found.faces[0]))
    person = FaceIdentity(excerpt(picture.name), found.embeddings[:1], loaded.fingerprint)
    return person, reference_image(image, found.points[0])


def _opened(picture: Path) -> Image:
    try:
        return open_picture(picture)
    except PictureError as error:
        raise PictureError(f"{excerpt(picture)} cannot be used: {error}") from error


def _refuse_faces(picture: Path, faces: int) -> None:
    if faces != 1:
        found = f"{faces} faces were found" if faces else "no face was found"
        raise PictureError(f"{found} in {excerpt(picture)}; give a picture of one face")


@dataclass(frozen=True, slots=True)
class _Conditions:
    aus: tuple[float, ...]
    person: FaceIdentity
    reference: ReferenceImage
    expression: FlameExpression


def _painted(
    source: ImageSource, run: RunConfig, asked: Sequence[_Conditions], seed: int
) -> list[Image]:
    """Paint one picture at a time, so that none depends on how many there are."""
    made: list[Image] = []
    for one in asked:
        spec = replace(
            one_sample(run.identities.template, one.aus, seed, run.expressions.au_set),
            conditions={
                "aus": one.aus,
                "faceid": one.person,
                "flame": one.expression,
                "reference": one.reference,
            },
            identity_id=one.person.identity_id,
            negative_prompt=run.identities.negative_prompt,
        )
        source.check(spec)
        made += source.generate([Attempt(spec, 0, seed)])
    return made
