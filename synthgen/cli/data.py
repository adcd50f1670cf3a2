"""`synthgen data …`: datasets for trainings, from pictures that users have."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from synthgen.choices import LabelSides, NumberFormat
from synthgen.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.preparation.corrections import Correction
    from pipelines.preparation.models import Asked
    from pipelines.preparation.source import PictureSource

data_app = typer.Typer(
    help="Datasets for trainings, from your own copies of DISFA and AffectNet or any pictures; the "
    "same command goes on.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="Folder, unpacked.", metavar="SOURCE")]
To = Annotated[
    str,
    typer.Option(
        "--to", "-o", help="New or empty folder of the dataset; the same command goes on."
    ),
]
Side = Annotated[
    int,
    typer.Option(
        min=0,
        max=4096,
        help="Shorter side that a picture has at most [pixels]; larger ones are scaled down, "
        "others copied byte by byte; 0: none is scaled.",
    ),
]
PictureFormat = Annotated[
    Literal["jpeg", "png", "webp"],
    typer.Option(
        "--picture-format", help="Format of frames and scaled pictures: jpeg loses a little."
    ),
]
Caption = Annotated[
    str, typer.Option(help="Caption of pictures that nobody describes.", metavar="TEXT")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Model of the kind image-text-to-text that writes captions: Hub id or folder.",
        metavar="MODEL",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Revision of --model on the Hub.")]
CaptionPrompt = Annotated[
    str | None,
    typer.Option(
        help="What asks --model for a caption; for models that do not chat, how one begins."
    ),
]
Question = Annotated[
    str | None, typer.Option(help="Question whose answer is yes for a photograph.")
]
Batch = Annotated[int, typer.Option(min=1, max=512, help="Pictures that a model sees at once.")]
Dtype = Annotated[NumberFormat, typer.Option(help="Number format of --model.")]
Threads = Annotated[
    int, typer.Option(min=1, help="Threads of models on a CPU; bits change with them.")
]
Splits = Annotated[
    str,
    typer.Option(
        help="Shares of the subjects: train=0.8,validation=0.1,test=0.1; nobody is in two.",
        metavar="SPLIT=SHARE,…",
    ),
]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**63 - 1, help="Seed of what is drawn: subjects of splits, frames."),
]
Aligner = Annotated[
    Literal["centered", "mediapipe"] | None,
    typer.Option(
        help="How --verifier finds the face: by MediaPipe (extra 'alignment'), or where drawn "
        "faces have it; else as suits its weights."
    ),
]
CorrectionOption = Annotated[
    Literal["paper", "script", "none"],
    typer.Option(help="Correction of measured AUs: as FineFace's paper, as its script, or none."),
]
MinSide = Annotated[
    int, typer.Option(min=0, help="Shorter side that a picture must have [pixels].")
]


@data_app.command()
def disfa(
    source: Source,
    to: To,
    media: Annotated[
        Path | None,
        typer.Option(help="Folder of the videos or pictures, where they are not below SOURCE."),
    ] = None,
    camera: Annotated[
        Literal["left", "right"], typer.Option(help="Camera whose frames are taken.")
    ] = "left",
    without: Annotated[
        float,
        typer.Option(
            min=0, max=100, help="Frames without an AU, as a share of those with one, per split."
        ),
    ] = 0.1,
    shift: Annotated[
        int | None,
        typer.Option(
            min=-1,
            max=1,
            help="A label's number less its frame's (a video's first frame is 0); else found from "
            "the files.",
        ),
    ] = None,
    splits: Splits = "train=0.8,validation=0.1,test=0.1",
    seed: Seed = 0,
    side: Side = 512,
    picture_format: PictureFormat = "jpeg",
    caption: Caption = "a photo of a person",
    model: Model = None,
    revision: Revision = None,
    caption_prompt: CaptionPrompt = None,
    batch: Batch = 8,
    dtype: Dtype = "float32",
    threads: Threads = 1,
) -> None:
    """Prepare DISFA: frames with an AU, and a tenth as many without; labels by its coders."""
    from pipelines.preparation.disfa import Disfa
    from pipelines.preparation.models import Asked

    found = Disfa(
        source,
        media=media,
        camera=camera,
        without=without,
        shift=shift,
        splits=_shares(splits),
        seed=seed,
    )
    asked = Asked(
        side=side,
        picture_format=picture_format,
        caption=caption,
        model=model,
        revision=revision,
        caption_prompt=caption_prompt,
        batch=batch,
        dtype=dtype,
        threads=threads,
    )
    _prepare(found, to, asked, None)


@data_app.command()
def affectnet(
    source: Source,
    to: To,
    model: Annotated[
        str,
        typer.Option(
            help="Model of the kind image-text-to-text that tells photographs and writes captions: "
            "Hub id or folder; 'none': no picture is asked about, --caption describes all.",
            metavar="MODEL",
        ),
    ] = "Salesforce/blip2-opt-2.7b",
    revision: Revision = None,
    photo_from: Annotated[
        float, typer.Option(min=0, max=1, help="Least p(yes) of a photograph.")
    ] = 0.5,
    question: Question = None,
    caption_prompt: CaptionPrompt = None,
    caption: Caption = "a photo of a person",
    verifier: Annotated[
        str,
        typer.Option(help="Weights of what measures AUs: libreface, mini, or a file or folder."),
    ] = "libreface",
    aligner: Aligner = None,
    correction: CorrectionOption = "paper",
    min_side: MinSide = 512,
    side: Side = 512,
    picture_format: PictureFormat = "jpeg",
    batch: Batch = 8,
    dtype: Dtype = "float32",
    threads: Threads = 1,
) -> None:
    """Prepare AffectNet: large photographs, described by a model, AUs measured and corrected."""
    from pipelines.preparation.affectnet import AffectNet
    from pipelines.preparation.models import Asked

    found = AffectNet(source)
    asks = model != "none"
    asked = Asked(
        side=side,
        min_side=min_side,
        picture_format=picture_format,
        caption=caption,
        model=model if asks else None,
        revision=revision,
        photo_from=photo_from if asks else None,
        question=question,
        caption_prompt=caption_prompt,
        verifier=verifier,
        aligner=aligner,
        batch=batch,
        dtype=dtype,
        threads=threads,
    )
    _prepare(found, to, asked, correction)


@data_app.command()
def folder(
    source: Source,
    to: To,
    labels: Annotated[
        Path | None,
        typer.Option(help="Table of labels, a row for each picture; or name --verifier."),
    ] = None,
    form: Annotated[
        Literal["csv", "openface", "libreface", "pyfeat"],
        typer.Option("--format", help="Who wrote the table; csv: columns AU1, AU2, …"),
    ] = "csv",
    scale: Annotated[
        Literal["5", "1", "100"] | None,
        typer.Option(help="Scale of the table's values; else found from them."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(help="Value of an AU that was not coded, such as 9.", metavar="CODE"),
    ] = None,
    sides: Annotated[
        LabelSides, typer.Option(help="What becomes of columns of the left and the right.")
    ] = "refuse",
    absent: Annotated[
        str,
        typer.Option(help="AUs without a column that no picture shows: AU20,AU26", metavar="AU,…"),
    ] = "",
    picture_column: Annotated[
        str | None, typer.Option(help="Column of the pictures' files, relative to SOURCE.")
    ] = None,
    caption_column: Annotated[str | None, typer.Option(help="Column of captions.")] = None,
    subject_column: Annotated[str | None, typer.Option(help="Column of who is shown.")] = None,
    split_column: Annotated[str | None, typer.Option(help="Column of splits.")] = None,
    subject_folders: Annotated[
        bool, typer.Option("--subject-folders", help="Each folder in SOURCE is a person.")
    ] = False,
    splits: Splits = "train=1",
    seed: Seed = 0,
    verifier: Annotated[
        str | None,
        typer.Option(help="Weights of what measures AUs: libreface, mini, or a file or folder."),
    ] = None,
    aligner: Aligner = None,
    correction: CorrectionOption = "none",
    model: Model = None,
    revision: Revision = None,
    photo_from: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Least p(yes) of a photograph, by --model; else not asked."
        ),
    ] = None,
    question: Question = None,
    caption_prompt: CaptionPrompt = None,
    caption: Caption = "a photo of a person",
    min_side: MinSide = 0,
    side: Side = 512,
    picture_format: PictureFormat = "jpeg",
    batch: Batch = 8,
    dtype: Dtype = "float32",
    threads: Threads = 1,
) -> None:
    """Prepare any pictures: with a table of labels, or with AUs measured."""
    from pipelines.preparation.folder import PictureFolder, Table
    from pipelines.preparation.models import Asked
    from samplers.priors.labels.source import Reading

    if (labels is None) == (verifier is None):
        raise ConfigError(
            "pictures need labels: name a table (--labels), or what measures them (--verifier), "
            "and not both"
        )
    columns = (picture_column, caption_column, subject_column, split_column)
    table = None
    if labels is not None:
        table = Table(
            path=labels,
            layout=form,
            reading=Reading.parse(scale, missing or (), sides),
            picture=picture_column,
            caption=caption_column,
            subject=subject_column,
            split=split_column,
            absent=_aus(absent),
        )
    elif any(columns) or absent or missing or scale:
        raise ConfigError("columns, --absent, --missing and --scale are for a table; name --labels")
    found = PictureFolder(
        source, table, by_folder=subject_folders, splits=_shares(splits), seed=seed
    )
    asked = Asked(
        side=side,
        min_side=min_side,
        picture_format=picture_format,
        caption=caption,
        model=model,
        revision=revision,
        photo_from=photo_from,
        question=question,
        caption_prompt=caption_prompt,
        verifier=verifier,
        aligner=aligner,
        batch=batch,
        dtype=dtype,
        threads=threads,
    )
    _prepare(found, to, asked, None if verifier is None else correction)


def _prepare(
    source: "PictureSource", to: str, asked: "Asked", correction: "Correction | None"
) -> None:
    """Prepare with a bar, and say what was kept, and what was dropped at which step."""
    from pipelines.preparation.models import load
    from pipelines.preparation.preparing import Preparing, check_target, prepare
    from synthgen.foreign import counted

    check_target(to, source)
    loaded = load(asked)
    preparing = Preparing(
        source=source,
        to=to,
        looks=loaded.looks,
        correction=correction,
        models=loaded.models,
        licences=loaded.licences,
    )
    bar = _Bar()
    try:
        found = prepare(preparing, bar.tell)
    except KeyboardInterrupt:
        bar.close()
        typer.echo("stopped; whole parts stay, the same command goes on", err=True)
        raise typer.Exit(130) from None
    finally:
        bar.close()
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    rows = ", ".join(f"{split} {number:,}" for split, number in found.rows.items())
    total = sum(found.rows.values())
    typer.echo(
        f"{to}: {counted(total, 'row')} of {source.title} ({rows})"
        + ("" if found.written else ", all there already")
    )
    typer.echo(f"  {found.listed:>9,} {found.what}")
    for step, number in found.steps.items():
        typer.echo(f"− {number:>9,} {step}")
    typer.echo(f"= {total:>9,} rows")
    if found.steps:
        typer.echo(f'why each was dropped: load_dataset("{to}", "rejects")')


class _Bar:
    """A bar for each stage, or a line every ten seconds where nobody sees one."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""

    def tell(self, what: str, done: int, of: int) -> None:
        """Show how far a stage is."""
        from tqdm import tqdm

        if what != self._what:
            self.close()
            every = 0.5 if sys.stderr.isatty() else 10.0
            self._what = what
            self._bar = tqdm(
                total=of, desc=what, unit=" pictures", dynamic_ncols=True, mininterval=every
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _shares(text: str) -> Mapping[str, float]:
    """Read `train=0.8,test=0.2`."""
    from pydantic import ValidationError

    from synthgen.config.output import OutputConfig

    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            number = float(share)
        except ValueError:
            raise ConfigError(
                f"--splits is {text!r}; it must be like train=0.8,validation=0.1,test=0.1"
            ) from None
        if name.strip() in found:
            raise ConfigError(f"--splits names {name.strip()!r} twice")
        found[name.strip()] = number
    try:
        return OutputConfig(path="dataset", splits=found).splits
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"--splits is {text!r}: {reason}") from None


def _aus(text: str) -> list[str]:
    from synthgen.action_units import AUS, canonical

    named = [canonical(name.strip()) for name in text.split(",") if name.strip()]
    for name in named:
        if name not in AUS:
            raise ConfigError(f"--absent names {name!r}; it must be of {', '.join(AUS)}")
    return named
