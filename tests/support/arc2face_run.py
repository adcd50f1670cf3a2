"""A small run of Arc2Face: tiny weights, a small bank of expressions, and people at random."""

from pathlib import Path

from arc2face_files import (
    make_arc2face,
    make_arc2face_base,
    make_expression_adapter,
    make_lcm_lora,
    make_reference_adapter,
    people,
)
from flame_banks import make_bank

from pipelines.libreface.weights import MINI_FILE
from samplers.identities.embeddings import StoreAbout
from samplers.identities.reference import ReferenceImage
from samplers.identities.store import FaceStore, write_store

EMBEDDER = "sha256:" + "ab" * 32
"""Fingerprint of the recogniser that the tiny weights understand."""


def make_world(folder: Path) -> Path:
    """Write weights (`base`, `published`, `exp_adapter`, …), `bank.parquet`, `people.parquet`."""
    make_arc2face_base(folder)
    make_arc2face(folder)
    make_expression_adapter(folder / "exp_adapter")
    make_reference_adapter(folder / "ref_adapter")
    make_lcm_lora(folder / "lcm")
    make_bank(rows=80).write(folder / "bank.parquet")
    write_people(folder / "people.parquet")
    return folder


def write_people(
    path: Path, count: int = 12, embedder: str = EMBEDDER, references: list[bytes] | None = None
) -> Path:
    """Write a store of people at random, with pictures of them where these are given."""
    about = StoreAbout(embedder=embedder, embedder_name="arc2face", licence="of the recogniser")
    kept = [ReferenceImage.of(data) for data in references] if references else None
    names = [f"p{number:02d}" for number in range(count)]
    write_store(path, FaceStore.build(people(count), names, about, references=kept))
    return path


def run_keys(world: Path, out: Path, samples: int = 12) -> dict:
    """Return the configuration of a run of 2 + 1 expressions a person, some of which is rejected.

    Args:
        world: what `make_world` wrote.
        out: its output.
        samples: samples of it.
    """
    return {
        "name": "arc",
        "seed": 5,
        "samples": samples,
        "output": {
            "path": str(out),
            "shard_size": 3,
            "splits": {"train": 0.5, "test": 0.5},
        },
        "expressions": {
            "prior": "emotions",
            "categories": ["happy", "sad"],
            "flame": {"bank": str(world / "bank.parquet"), "neighbours": 4},
        },
        "identities": {
            "source": "faceid",
            "store": str(world / "people.parquet"),
            "template": "photo of a id person",
            "expressions_per_identity": 2,
            "neutral_image": True,
            "noise": "identity",
        },
        "pipeline": {
            "name": "arc2face",
            "weights": {
                "base": str(world / "base"),
                "arc2face": str(world / "published"),
                "expression": str(world / "exp_adapter"),
                "embedder": EMBEDDER,
            },
            "num_inference_steps": 2,
            "batch_size": 3,
        },
        "verify": {
            # As a file, so that the noise of tiny models counts as a face.
            "weights": str(MINI_FILE),
            "aligner": "centered",
            "policy": {"max_active_error": 2.5, "max_inactive": 4.0, "min_active": None},
            "max_attempts": 2,
            "on_exhausted": "keep_best",
        },
    }
