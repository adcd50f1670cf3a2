"""Sources of pictures in the layouts of DISFA and AffectNet, made of plain pictures."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from synthgen.action_units import AUS


def write_picture(path: Path, number: int, size: tuple[int, int] = (40, 32)) -> bytes:
    """Write a picture that no other number gives; return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1] // 8, size[0] // 8, 3))
    image = Image.fromarray(pixels.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    image.save(path)
    return path.read_bytes()


def write_labels(
    root: Path, subject: str, vectors: Mapping[int, Mapping[str, int]], first: int = 1
) -> None:
    """Write a subject's DISFA labels.

    Args:
        root: the copy.
        subject: such as SN001.
        vectors: place of a frame, from 0 → AU → intensity; all places are labelled.
        first: number of the first frame.
    """
    folder = root / "ActionUnit_Labels" / subject
    folder.mkdir(parents=True, exist_ok=True)
    for au in AUS:
        lines = [f"{place + first},{one.get(au, 0)}" for place, one in vectors.items()]
        (folder / f"{subject}_{au.lower()}.txt").write_text("\n".join(lines) + "\n")


def write_disfa(
    root: Path,
    subjects: Sequence[str] = ("SN001", "SN002", "SN003"),
    frames: int = 30,
    active: Sequence[int] = range(20, 30),
    labels_from: int = 1,
    pictures_from: int = 1,
) -> Path:
    """Write a copy of DISFA with pictures: AU12 rises over the active frames, others are idle."""
    for place, subject in enumerate(subjects):
        vectors = {
            frame: {"AU12": 1 + active.index(frame) % 5} if frame in active else {}
            for frame in range(frames)
        }
        write_labels(root, subject, vectors, labels_from)
        for frame in range(frames):
            file = root / "LeftCamera" / subject / f"{frame + pictures_from:04d}.png"
            write_picture(file, 1000 * place + frame)
    return root


def write_affectnet(root: Path, name: str, code: int | str, number: int, size: int = 48) -> Path:
    """Write a picture of AffectNet's release of cropped faces, with its annotations."""
    write_picture(root / "train_set" / "images" / f"{name}.png", number, (size, size))
    folder = root / "train_set" / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    for what, value in (("exp", code), ("val", 0.25), ("aro", -0.5)):
        np.save(folder / f"{name}_{what}.npy", np.array(value))
    return folder


def opened(row_image: Mapping[str, object]) -> Image.Image:
    """Open the picture that a row holds, as it is stored."""
    data = row_image["bytes"]
    assert isinstance(data, bytes)
    return Image.open(BytesIO(data))
