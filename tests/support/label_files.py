"""Label files in the layouts of OpenFace, LibreFace, DISFA and BP4D, written from AU vectors."""

from pathlib import Path

import numpy as np

from synthgen.action_units import AUS

NUMBERS = [int(au.removeprefix("AU")) for au in AUS]


def write_csv(path: Path, vectors: np.ndarray) -> Path:
    """Write a table of our own kind, with a column that is no AU and an AU that is not ours."""
    header = ["image", *(f"AU{number:02d}" for number in NUMBERS), "AU07"]
    rows = [
        f"face-{place}.png,{','.join(f'{value:.3f}' for value in row)},3"
        for place, row in enumerate(vectors)
    ]
    return _write(path, [",".join(header), *rows])


def write_openface(path: Path, vectors: np.ndarray, failed: int = 0) -> Path:
    """Write what OpenFace 2.2's FeatureExtraction does: leading blanks, `_r` and `_c` columns."""
    names = ["frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x"]
    others = [*NUMBERS, 7, 45]
    names += [f"AU{number:02d}_r" for number in others] + [f"AU{number:02d}_c" for number in others]
    rows = []
    for place, row in enumerate(vectors):
        values = [f"{value:.2f}" for value in row] + ["0.31", "0.00"]
        seen = [f"{value > 0:d}.00" for value in row] + ["1.00", "0.00"]
        rows.append([f"{place + 1}", "0", f"{place / 30:.3f}", "0.98", "1", "0.1", *values, *seen])
    for place in range(failed):
        zeros = ["0.00"] * 2 * len(others)
        rows.append([f"{len(vectors) + place + 1}", "0", "9.000", "0.00", "0", "0", *zeros])
    return _write(path, [", ".join(names), *(", ".join(row) for row in rows)])


def write_libreface(path: Path, vectors: np.ndarray) -> Path:
    """Write what LibreFace's command does for a video: landmarks, pose, detections, intensities.

    Its regression is never quite 0.
    """
    names = ["frame_idx", "frame_time_in_ms", "lm_mp_0_x", "pitch", "facial_expression"]
    names += [f"au_{number}" for number in (1, 2, 4, 6, 7, 10, 12)]
    names += [f"au_{number}_intensity" for number in NUMBERS]
    rows = []
    for place, row in enumerate(vectors):
        values = [f"{max(value, 0.013):.3f}" for value in row]
        rows.append(
            [f"{place}", f"{place * 33.3:.1f}", "0.5", "-3.1", "Neutral", *"0101010", *values]
        )
    return _write(path, [",".join(names), *(",".join(row) for row in rows)])


def write_disfa(root: Path, vectors: np.ndarray, subjects: int = 3) -> Path:
    """Write DISFA's `ActionUnit_Labels`: a file for each subject and AU, whole intensities."""
    for place, part in enumerate(np.array_split(whole(vectors), subjects)):
        subject = f"SN{place + 1:03d}"
        for number, values in zip(NUMBERS, part.T, strict=True):
            lines = [f"{frame},{value}" for frame, value in enumerate(values, start=1)]
            _write(root / "ActionUnit_Labels" / subject / f"{subject}_au{number}.txt", lines)
    return root


def write_bp4d(root: Path, vectors: np.ndarray, tasks: int = 2) -> Path:
    """Write BP4D's `AUCoding`: intensities of AUs 6, 10, 12, 14, 17, occurrences of more.

    AUs 1, 2, 4 and 15 are coded by occurrence; 5, 9, 20, 25, 26 are 9 everywhere. The first frame
    of each video is 9 in every file.
    """
    for place, part in enumerate(np.array_split(whole(vectors), tasks)):
        video = f"F001_T{place + 1}"
        part = np.vstack([np.full(len(NUMBERS), 9), part])
        columns = dict(zip(NUMBERS, part.T, strict=True))
        for number in (6, 10, 12, 14, 17):
            values = columns.get(number, np.zeros(len(part), int))
            lines = [f"{frame},{value}" for frame, value in enumerate(values, start=2400)]
            name = f"{video}_AU{number:02d}.csv"
            _write(root / "AUCoding" / "AU_INT" / f"AU{number:02d}" / name, lines)
        lines = [",".join(map(str, range(100)))]
        for frame, row in enumerate(part, start=2400):
            codes = np.full(100, 9)
            codes[[7, 10, 14]] = 0
            for number in (1, 2, 4, 6, 12, 15, 17):
                value = row[NUMBERS.index(number)]
                codes[number] = value if value in (0, 9) else 1
            codes[0] = frame
            lines.append(",".join(map(str, codes)))
        _write(root / "AUCoding" / "AU_OCC" / f"{video}.csv", lines)
    return root


def whole(vectors: np.ndarray) -> np.ndarray:
    """Round intensities to the FACS level that they lie in, half up."""
    return np.minimum(np.floor(vectors + 0.5), 5).astype(int)


def _write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
