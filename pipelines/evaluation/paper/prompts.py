"""Prompts of the paper's protocol: by hand, from a file, or from the captions of a dataset."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.procedural.vocabulary import AGES, HAIR_COLOURS, PERSONS, SKINS
from samplers.randomness import uniforms
from synthgen.errors import ConfigError
from synthgen.foreign import counted, excerpt, first_line, reading, regular_file

HANDCRAFTED = "handcrafted"

COUNT = 15
"""Prompts of the paper's protocol."""

MOST_PROMPTS, LONGEST_PROMPT = 150, 1000
_LARGEST_FILE = 2**20
_PLACES = (
    "in a studio",
    "in a park",
    "in an office",
    "on a city street",
    "in a kitchen",
    "at a lake",
    "in a library",
)
_PHOTO_AGES = {"young": "young", "middle-aged": "middle-aged", "old": "elderly"}


@dataclass(frozen=True, slots=True)
class PaperPrompt:
    """A prompt of the protocol.

    Attributes:
        text: the prompt.
        traits: trait → value that it names, such as `skin`; empty where nobody says.
    """

    text: str
    traits: Mapping[str, str]


def handcrafted(drawn: bool) -> tuple[PaperPrompt, ...]:
    """Return the 15 prompts: each of five skins with each of three ages, men and women in turn.

    Args:
        drawn: for models of drawn faces, in words that they know; else for photographs.
    """
    return tuple(_handcrafted(number, drawn) for number in range(COUNT))


def _handcrafted(number: int, drawn: bool) -> PaperPrompt:
    # 5 and 3 have no common divisor: the pairs of skin and age are each other's remainders.
    traits = {
        "age": AGES[number % len(AGES)],
        "person": PERSONS[number % len(PERSONS)],
        "skin": SKINS[number % len(SKINS)],
    }
    if drawn:
        hair = HAIR_COLOURS[(number + number // len(SKINS)) % len(HAIR_COLOURS)]
        told = {**traits, "hair": hair}
        text = "a close-up photo, {age} {person} with {skin} skin, {hair} hair"
        return PaperPrompt(text.format(**told), told)
    place = _PLACES[number % len(_PLACES)]
    age = _PHOTO_AGES[traits["age"]]
    article = "an" if age[0] in "aeiou" else "a"
    return PaperPrompt(
        f"a close-up photograph of the face of {article} {age} {traits['person']} with "
        f"{traits['skin']} skin, frontal view, {place}",
        traits,
    )


def read_prompts(said: str, drawn: bool, seed: int) -> tuple[PaperPrompt, ...]:
    """Return the prompts that `--prompts` names.

    Args:
        said: `handcrafted`; a text file, a prompt a line; a CSV file with a column `prompt`, whose
            other columns are what each prompt names; or a folder of Parquet files with a column
            `caption`, of which 15 are drawn.
        drawn: whether models of drawn faces are asked.
        seed: seed of the draw [0, 2^63).

    Raises:
        ConfigError: if there is no such file, or it holds too few, too many, or equal prompts.
    """
    if said == HANDCRAFTED:
        return handcrafted(drawn)
    path = Path(said)
    if path.is_dir():
        return _drawn_captions(path, seed)
    regular_file(path, "the file of prompts (--prompts)", ConfigError, _LARGEST_FILE)
    with reading(path, ConfigError):
        text = path.read_text(encoding="utf-8-sig")
    prompts = _of_table(path, text) if path.suffix.lower() == ".csv" else _of_lines(text)
    _refuse(path, [prompt.text for prompt in prompts])
    return prompts


def _of_lines(text: str) -> tuple[PaperPrompt, ...]:
    lines = [_tidy(line) for line in text.splitlines()]
    return tuple(PaperPrompt(line, {}) for line in lines if line)


def _of_table(path: Path, text: str) -> tuple[PaperPrompt, ...]:
    rows = csv.DictReader(io.StringIO(text))
    names = rows.fieldnames or []
    if "prompt" not in names:
        raise ConfigError(
            f"{path} has no column 'prompt'; its columns are {', '.join(map(excerpt, names))}"
        )
    found = []
    for row in rows:
        if None in row or None in row.values():
            raise ConfigError(f"{path}, line {rows.line_num}: it must have {len(names)} fields")
        traits = {name: row[name].strip() for name in names if name and name != "prompt"}
        named = {name: value for name, value in traits.items() if value}
        found.append(PaperPrompt(_tidy(row["prompt"]), named))
    return tuple(found)


def _tidy(text: str) -> str:
    """Write a text in one line, with single blanks."""
    return " ".join(text.split())


def _refuse(path: Path, texts: Sequence[str]) -> None:
    if not 2 <= len(texts) <= MOST_PROMPTS:
        raise ConfigError(
            f"{path} holds {counted(len(texts), 'prompt')}; 2 to {MOST_PROMPTS} are possible"
        )
    for number, text in enumerate(texts, 1):
        if not 0 < len(text) <= LONGEST_PROMPT:
            raise ConfigError(
                f"{path}: prompt {number} has {len(text)} characters; 1 to {LONGEST_PROMPT} are "
                "possible"
            )
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise ConfigError(f"{path} holds a prompt twice: {excerpt(twice)}")


def _drawn_captions(folder: Path, seed: int) -> tuple[PaperPrompt, ...]:
    """Draw different captions of a dataset, in the order of the draw."""
    files = sorted(folder.rglob("*.parquet"))
    captions: dict[str, None] = {}
    for file in files:
        try:
            if "caption" not in pq.read_schema(file).names:
                continue
            column = pq.read_table(file, columns=["caption"])["caption"]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ConfigError(f"{file} is not readable Parquet: {first_line(error)}") from error
        captions |= dict.fromkeys(_tidy(str(text)) for text in column.unique().to_pylist())
    usable = sorted(text for text in captions if 0 < len(text) <= LONGEST_PROMPT)
    if len(usable) < COUNT:
        raise ConfigError(
            f"{folder} holds {counted(len(usable), 'different caption')} (column caption of its "
            f"Parquet files); at least {COUNT} are needed"
        )
    order = np.argsort(
        uniforms(seed, "evaluation/captions", 0, len(usable), 1)[:, 0], kind="stable"
    )
    return tuple(PaperPrompt(usable[place], {}) for place in order[:COUNT])
