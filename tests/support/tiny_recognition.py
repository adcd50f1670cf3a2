"""Tiny datasets whose categories are colours, so that a recogniser learns them at once."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_dataset import SCHEMA, Range, make_record, make_row

from synthgen.dataset import ShardResult, Storage, commit_shard, open_run, write_card

CATEGORIES = ("neutral", "happy", "sad")
COLOURS = {"neutral": (110, 110, 110), "happy": (220, 60, 40), "sad": (40, 60, 220)}
AUS = {
    "neutral": (0.0,) * 12,
    "happy": (0.0,) * 6 + (4.0,) + (0.0,) * 5,
    "sad": (3.0,) + (0.0,) * 11,
}
SIDE = 16


def picture(category: str, number: int) -> Image.Image:
    """Return a noisy picture of a category's colour."""
    noise = np.random.default_rng(number).integers(-30, 30, (SIDE, SIDE, 3))
    pixels = np.clip(np.array(COLOURS[category]) + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def make_faces(
    folder: Path, train: int = 24, test: int = 9, checked: bool = True, **configuration
) -> Path:
    """Write a dataset: categories in turn, three pictures of a person."""
    storage = Storage(str(folder))
    schema = SCHEMA if checked else replace(SCHEMA, columns=())
    plan = [Range("train", 0, 0, train), Range("test", 0, 0, test)]
    record = replace(make_record(train + test, **configuration), schema=schema)
    open_run(storage, record, "name: tiny\n", plan)
    for shard in plan:
        if shard.stop:
            commit_shard(storage, schema, _result(shard, checked))
    write_card(storage)
    return folder


def _result(shard: Range, checked: bool) -> ShardResult:
    first = 999 if shard.split == "test" else 0
    return ShardResult(
        split=shard.split,
        number=shard.number,
        start=shard.start,
        stop=shard.stop,
        rows=[_row(first + n, checked) for n in range(shard.stop)],
        rejects=[],
        attempts=shard.stop,
        missing=(),
        seconds={},
    )


def _row(index: int, checked: bool):
    category = CATEGORIES[index % 3]
    buffer = io.BytesIO()
    picture(category, index).save(buffer, "PNG")
    aus = AUS[category]
    row = make_row(
        index,
        image=buffer.getvalue(),
        emotion=category,
        aus=aus,
        identity_id=f"identity-{index // 3:06d}",
    )
    measured = {"aus_measured": tuple(0.75 * v for v in aus), "active_error": 0.0}
    return replace(row, columns={**row.columns, **measured} if checked else {})


def make_folder(folder: Path, pictures: int = 4, splits: tuple[str, ...] = ()) -> Path:
    """Write an image folder, named by nouns."""
    words = {"neutral": "Neutral", "happy": "happiness", "sad": "Sadness"}
    for split in splits or ("",):
        for category, word in words.items():
            (folder / split / word).mkdir(parents=True)
            for number in range(pictures):
                file = folder / split / word / f"{number}.png"
                picture(category, 50 + number).save(file)
    return folder
