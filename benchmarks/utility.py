"""Tell what each choice of the quickstart is worth, by recognisers that learn its faces.

Drawn faces of people whom no training saw are the test. Learned are drawn faces (what can be had at
best), the quickstart's as they are checked and as they are not, with each kind of label, in several
numbers, with few drawn ones beside, of fewer people, and with noise that belongs to people. The
datasets, the trainings and the page go below one folder; stopped, the same command goes on.

    python benchmarks/utility.py --to out/utility --samples 5000 --seeds 3
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cluster.driver import generate
from pipelines.evaluation.gallery import write_document
from pipelines.recognition import FerEvaluation, Recipe, train_fer
from pipelines.recognition.report import Found, mean_over_aus
from synthgen.choices import FaceLabels
from synthgen.config import load_config
from synthgen.dataset.markdown import number, percent, table
from synthgen.foreign import counted

EXAMPLES = Path(__file__).parents[1] / "examples"
DRAWN, QUICKSTART = "drawn-faces.yaml", "quickstart.yaml"

_AS_DRAWN = ("pipeline.au_noise=0", "verify={verifier: none}")
_ANYTHING = ("verify.policy={max_active_error: null, max_inactive: null, min_active: null}",)
WORLDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "test": (DRAWN, (*_AS_DRAWN, "seed=1000003")),
    "drawn": (DRAWN, _AS_DRAWN),
    "verified": (QUICKSTART, ()),
    "unverified": (QUICKSTART, _ANYTHING),
    "few people": (QUICKSTART, ("identities.expressions_per_identity=30",)),
    "people's noise": (QUICKSTART, ("identities.noise=identity",)),
}
"""Dataset → example, and what is changed in it. What is not verified is measured all the same."""

SMALL = 1 / 4
"""Share of the samples that are made of `few people` and `people's noise`."""

REAL = 100
"""Drawn faces that stand for few photographs."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A row of the table.

    Attributes:
        name: what is learned, for people.
        world: dataset of `WORLDS`.
        labels: labels that are learned.
        share: share of the dataset that is learned.
        mixed: whether `REAL` drawn faces are learned too.
        only: pictures that are learned, whatever the share; None: by the share.
    """

    name: str
    world: str
    labels: FaceLabels = "requested"
    share: float = 1.0
    mixed: bool = False
    only: int | None = None


CHOICES = (
    Choice("drawn faces (upper bound)", "drawn"),
    Choice("verified", "verified"),
    Choice("unverified", "unverified"),
    Choice("verified, half", "verified", share=1 / 2),
    Choice("unverified, half", "unverified", share=1 / 2),
    Choice("verified, a quarter", "verified", share=SMALL),
    Choice("unverified, a quarter", "unverified", share=SMALL),
    Choice("verified, an eighth", "verified", share=1 / 8),
    Choice("a quarter: drawn faces", "drawn", share=SMALL),
    Choice("a quarter: verified, measured labels", "verified", "measured", SMALL),
    Choice("a quarter: verified, soft labels", "verified", "soft", SMALL),
    Choice("a quarter: unverified, measured labels", "unverified", "measured", SMALL),
    Choice("a quarter: unverified, soft labels", "unverified", "soft", SMALL),
    Choice("a quarter: a fifth of the people", "few people", share=SMALL),
    Choice("a quarter: noise of people", "people's noise", share=SMALL),
    Choice(f"{REAL} drawn alone", "drawn", only=REAL),
    Choice(f"a quarter: verified and {REAL} drawn", "verified", share=SMALL, mixed=True),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the datasets, train, and write the page."""
    parser = argparse.ArgumentParser(description="What each choice of the quickstart is worth.")
    parser.add_argument("--to", type=Path, default=Path("out/utility"), help="folder of all of it")
    parser.add_argument("--samples", type=int, default=5000, help="samples of the large datasets")
    parser.add_argument("--tested", type=int, default=1200, help="samples of the test")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--model", default="resnet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", nargs="+", choices=[c.name for c in CHOICES], metavar="NAME")
    parser.add_argument("--executor", choices=["ray", "inline"], default="ray")
    options = parser.parse_args(arguments)
    chosen = [c for c in CHOICES if not options.rows or c.name in options.rows]
    for world in dict.fromkeys(["test", *(w for c in chosen for w in worlds_of(c))]):
        samples = options.tested if world == "test" else options.samples
        if world in ("few people", "people's noise"):
            samples = round(SMALL * samples)
        make(options.to, world, samples, options.executor)
    settings = FerEvaluation(
        dataset="",
        test=str(place(options.to, "test")),
        test_split="all",
        split="all",
        model=options.model,
        size=options.size,
        epochs=options.epochs,
        seeds=options.seeds,
        recipe=Recipe(threads=options.threads),
    )
    found: dict[str, Found] = {}
    for choice in chosen:
        found[choice.name] = learn(choice, settings, options.to, options.samples)
        write(found, options.to, settings)
    print((options.to / "utility.md").read_text(encoding="utf-8"))


def worlds_of(choice: Choice) -> list[str]:
    """Return the datasets that a row learns."""
    return [choice.world, *(["drawn"] if choice.mixed else [])]


def place(root: Path, world: str) -> Path:
    """Return where a dataset lies."""
    return root / "data" / world.replace(" ", "-").replace("'", "")


def make(root: Path, world: str, samples: int, executor: str) -> None:
    """Make a dataset whole; one that is there is not made again."""
    example, changes = WORLDS[world]
    splits = "output.splits={train: 1.0}"
    where = f"output.path={place(root, world).as_posix()}"
    overrides = (*changes, splits, where, f"samples={samples}")
    generate(load_config(EXAMPLES / example, overrides), executor)  # pyright: ignore[reportArgumentType]


def learn(choice: Choice, settings: FerEvaluation, root: Path, samples: int) -> Found:
    """Train the recognisers of a row and test them."""
    limit = choice.only or round(choice.share * samples)
    mixed = (str(place(root, "drawn")),) if choice.mixed else ()
    asked = replace(
        settings,
        dataset=str(place(root, choice.world)),
        labels=choice.labels,
        limit=limit,
        mixed=mixed,
        mixed_limit=REAL if mixed else None,
    )
    return train_fer(asked, root / "models")


def write(found: Mapping[str, Found], root: Path, settings: FerEvaluation) -> None:
    """Write the page and the figures of the rows that there are."""
    rows = []
    for name, one in found.items():
        scores = one.expressions
        assert scores is not None
        learned = sum(used.pictures for used in one.used if used.use == "learned")
        low, high = scores.accuracy.estimate.low, scores.accuracy.estimate.high
        rows.append(
            [
                name,
                learned,
                percent(scores.accuracy.estimate.value),
                f"{percent(low)} to {percent(high)}",
                percent(scores.accuracy.spread),
                number(scores.macro_f1.estimate.value),
                number(scores.ece.estimate.value),
                number(mean_over_aus(one.aus, "r")[0]),
            ]
        )
    head = ["learned", "pictures", "accuracy", "95 %", "over seeds (sd)", "F1", "ECE", "r of AUs"]
    used = next(iter(found.values())).used
    tested = next(one.pictures for one in used if one.use == "tested")
    page = (
        "# What each choice is worth\n\n"
        f"Tested on {tested} drawn faces of people whom no training saw; "
        f"{counted(settings.seeds, 'training')} a row, {settings.model}, {settings.size} pixels, "
        f"{settings.epochs} epochs.\n\n" + table(head, rows) + "\n"
    )
    write_document(root / "utility.md", page)
    figures = {name: asdict(one) for name, one in found.items()}
    write_document(root / "utility.json", json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
