"""DISFA: labels of single AUs, frame by frame, and the videos of two cameras or pictures of them.

Mavadati et al., "DISFA: A spontaneous facial action intensity database", 2013. FineFace (arXiv
2407.20175) learns the frames in which some AU is active, and a tenth as many in which none is: it
is away from those that guidance steers.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.pictures import ENDINGS
from pipelines.preparation.files import checksum_of, files_below, picture_file
from pipelines.preparation.frame_numbers import Frames, reconcile
from pipelines.preparation.source import Drop, Item, Listing, PictureSource, Read
from pipelines.preparation.videos import ENDINGS as VIDEOS
from pipelines.preparation.videos import BrokenVideoError, VideoFrames, count_frames
from samplers.priors.labels.frames import DisfaLabels, Video, read_disfa_frames
from samplers.randomness import uniforms
from samplers.shares import deal
from synthgen.dataset.schema import Feature
from synthgen.errors import DatasetError
from synthgen.foreign import counted, excerpt, first_few

Camera = Literal["left", "right"]

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE)
_CAMERA = re.compile(r"left|right", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)\D*$")
_NAMED = 5

_NO_MEDIA = "no video or pictures of the subject"
_NO_FRAME = "no frame for the label"
_NO_LABEL = "no label for the frame"
_NOT_CODED = "some AU not coded"
_UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class _Media:
    """Frames of a subject: a video, or pictures by their numbers."""

    video: Path | None
    pictures: Mapping[int, Path]


class Disfa(PictureSource):
    """A copy of DISFA.

    Args:
        root: folder with the labels and, unless `media` is given, the videos or pictures.
        media: folder of videos or pictures, or None.
        camera: which camera's.
        without: how many frames without an AU are taken, as a share of those with one.
        shift: a label's number less its picture's; None: found from the files.
        splits: split → share of the subjects.
        seed: seed of what is drawn: subjects of splits, and frames without an AU.

    Raises:
        DatasetError: if there is no such folder.
    """

    name = "disfa"
    title = "DISFA"
    columns: Mapping[str, Feature] = {}

    def __init__(
        self,
        root: Path,
        *,
        media: Path | None = None,
        camera: Camera = "left",
        without: float = 0.1,
        shift: int | None = None,
        splits: Mapping[str, float],
        seed: int = 0,
    ) -> None:
        for folder in filter(None, (root, media)):
            if not folder.is_dir():
                raise DatasetError(f"{excerpt(folder)} is no folder; DISFA's copy must be unpacked")
        self.root = root
        self.media = media or root
        self.folders = (self.root, self.media)
        self._camera = camera
        self._without = without
        self._shift = shift
        self._splits = splits
        self._seed = seed
        self._open: VideoFrames | None = None
        self.options: Mapping[str, Any] = {
            "camera": camera,
            "without": without,
            "shift": shift,
            "splits": dict(splits),
            "seed": seed,
        }

    def listing(self) -> Listing:
        """Put frames and labels together, and choose the frames.

        Raises:
            LabelsError: if a label file is missing or malformed.
            DatasetError: if frames and labels cannot be put together, or a subject's frames lie in
                two places.
            MissingDependencyError: if there are videos and PyAV is not installed.
        """
        labels = read_disfa_frames(self.root)
        if len(labels.videos) < len(self._splits):
            raise DatasetError(
                f"{excerpt(self.root)} has {counted(len(labels.videos), 'subject')}, and --splits "
                f"names {len(self._splits)} splits; each needs one"
            )
        splits = deal(self._seed, "data/subjects", list(labels.videos), self._splits)
        media, ignored = self._media()
        notes = [*labels.notes, *self._say_others(labels, media, ignored)]
        broken, frames = self._frames(labels, media)
        drops: list[Drop] = []
        items: list[Item] = []
        shift = 0
        if frames:
            found = reconcile(frames, self._shift)
            shift = found.shift
            notes.append(found.why)
        for subject, video in labels.videos.items():
            split = splits[subject]
            if subject not in frames:
                why = broken.get(
                    subject,
                    f"{subject} has labels, and nothing of the {self._camera}"
                    f" camera lies below {excerpt(self.media)}",
                )
                step = _UNREADABLE if subject in broken else _NO_MEDIA
                file = self._video_name(media.get(subject)) or subject
                drops += [Drop(split, file, n, step, why) for n in video.frames.tolist()]
                continue
            more, less = self._of_subject(subject, split, video, frames[subject], shift, media)
            items += more
            drops += less
        chosen, left = self._choose(items)
        sizes = [file for one in media.values() for file in self._files(one)]
        return Listing(
            items=chosen,
            drops=[*drops, *left],
            steps=(_NO_MEDIA, _NO_FRAME, _NO_LABEL, _NOT_CODED, self._beyond),
            what="frames",
            checksum=sha256(
                f"{labels.sha256} {checksum_of(self.media, sizes)}".encode()
            ).hexdigest(),
            notes=notes,
            licences={
                "DISFA": "its authors' agreement, research use without redistribution: you hold "
                "your own licensed copy"
            },
            packages=["av"] if any(one.video for one in media.values()) else [],
        )

    def read(self, items: Sequence[Item]) -> Iterator[Read | str]:
        """Yield the frame of each item; a video is read once where items come in order."""
        for item in items:
            path = self.media / item.file
            if item.position is None:
                yield picture_file(path)
            else:
                yield self._video_frame(path, item.position)

    def _video_frame(self, path: Path, position: int) -> Read | str:
        try:
            if self._open is None or self._open.path != path or self._open.position > position:
                self.close()
                self._open = VideoFrames(path)
            return Read(self._open.frame(position), None)
        except BrokenVideoError as error:
            return str(error)

    def close(self) -> None:
        """Close the video that is open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def _beyond(self) -> str:
        return f"without an AU, beyond {100 * self._without:g} % of those with one"

    def _media(self) -> tuple[dict[str, _Media], int]:
        """Return each subject's video or pictures, and how many files another camera has."""
        videos: dict[str, Path] = {}
        pictures: dict[str, dict[int, Path]] = defaultdict(dict)
        ignored = 0
        for path in files_below(self.media, (*VIDEOS, *ENDINGS)):
            relative = path.relative_to(self.media).as_posix()
            if not (found := _SUBJECT.search(relative)):
                continue
            subject = found[0].upper()
            cameras = {word.lower() for word in _CAMERA.findall(relative)}
            if cameras and self._camera not in cameras:
                ignored += 1
            elif path.suffix.lower() in VIDEOS:
                self._refuse_second(subject, "videos", videos.setdefault(subject, path), path)
            elif number := _NUMBER.search(_SUBJECT.sub("", path.stem)):
                frame = int(number[1])
                first = pictures[subject].setdefault(frame, path)
                self._refuse_second(subject, f"pictures of frame {frame}", first, path)
        if both := sorted(videos.keys() & pictures.keys()):
            raise DatasetError(
                f"{both[0]} has a video ({self._relative(videos[both[0]])}) and pictures "
                f"({self._relative(next(iter(pictures[both[0]].values())))}); name the folder of "
                "those that are meant by --media"
            )
        found = {subject: _Media(path, {}) for subject, path in videos.items()}
        found |= {
            subject: _Media(None, dict(sorted(numbered.items())))
            for subject, numbered in pictures.items()
        }
        return dict(sorted(found.items())), ignored

    def _refuse_second(self, subject: str, what: str, first: Path, second: Path) -> None:
        if first != second:
            raise DatasetError(
                f"{subject} has two {what}: {self._relative(first)} and {self._relative(second)}; "
                "name the folder of those that are meant by --media, or --camera left or right"
            )

    def _relative(self, path: Path) -> str:
        return excerpt(path.relative_to(self.media).as_posix())

    def _say_others(
        self, labels: DisfaLabels, media: Mapping[str, _Media], ignored: int
    ) -> Iterator[str]:
        other = "right" if self._camera == "left" else "left"
        if ignored:
            yield f"{counted(ignored, 'file')} of the {other} camera left out"
        if extra := sorted(media.keys() - labels.videos.keys()):
            yield f"{first_few(extra, _NAMED)}: pictures and no labels, left out"
        if lacking := sorted(labels.videos.keys() - media.keys()):
            yield f"{first_few(lacking, _NAMED)}: labels and no video or pictures, left out"

    def _frames(
        self, labels: DisfaLabels, media: Mapping[str, _Media]
    ) -> tuple[dict[str, str], dict[str, Frames]]:
        """Return why some videos cannot be read, and the numbers of all others' frames."""
        broken: dict[str, str] = {}
        frames: dict[str, Frames] = {}
        for subject, video in labels.videos.items():
            if (one := media.get(subject)) is None:
                continue
            if one.video is None:
                frames[subject] = Frames(video.frames, np.array(list(one.pictures)), whole=False)
                continue
            try:
                numbers = np.arange(count_frames(one.video))
            except BrokenVideoError as error:
                broken[subject] = str(error)
            else:
                frames[subject] = Frames(video.frames, numbers, whole=True)
        return broken, frames

    def _of_subject(
        self,
        subject: str,
        split: str,
        video: Video,
        frames: Frames,
        shift: int,
        media: Mapping[str, _Media],
    ) -> tuple[list[Item], list[Drop]]:
        items: list[Item] = []
        drops: list[Drop] = []
        there = set((frames.pictures + shift).tolist())
        whole_name = self._video_name(media[subject])
        for label, values in zip(video.frames.tolist(), video.values, strict=True):
            file = whole_name or self._picture_name(media[subject], label - shift)
            if label not in there:
                why = f"label {label} has no frame {label - shift}"
                drops.append(Drop(split, file or subject, label, _NO_FRAME, why))
            elif np.isnan(values).any():
                why = "a label file has no line for it"
                drops.append(Drop(split, file, label, _NOT_CODED, why))
            else:
                items.append(
                    Item(
                        name=f"{subject}-{self._camera}-{label:05d}",
                        split=split,
                        file=file,
                        frame=label,
                        position=label - shift if whole_name else None,
                        subject=subject,
                        aus=tuple(values.tolist()),
                        labels="DISFA's coders",
                    )
                )
        for label in sorted(there - set(video.frames.tolist())):
            file = whole_name or self._picture_name(media[subject], label - shift)
            why = f"frame {label - shift} would have the label {label}"
            drops.append(Drop(split, file, label, _NO_LABEL, why))
        return items, drops

    def _choose(self, items: Sequence[Item]) -> tuple[list[Item], list[Drop]]:
        """Keep frames with an AU, and a share as many without, split by split."""
        active = Counter(item.split for item in items if any(item.aus or ()))
        idle: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            if not any(item.aus or ()):
                idle[item.split].append(item)
        kept: set[str] = set()
        for split, ones in idle.items():
            keys = uniforms(self._seed, f"data/idle/{split}", 0, len(ones), 1)[:, 0]
            first = np.argsort(keys, kind="stable")[: int(self._without * active[split] + 0.5)]
            kept.update(ones[place].name for place in first)
        chosen = [item for item in items if any(item.aus or ()) or item.name in kept]
        left = [
            Drop(item.split, item.file, item.frame, self._beyond, "no AU is active")
            for item in items
            if not any(item.aus or ()) and item.name not in kept
        ]
        return chosen, left

    def _video_name(self, media: _Media | None) -> str:
        if media is None or media.video is None:
            return ""
        return media.video.relative_to(self.media).as_posix()

    def _picture_name(self, media: _Media, number: int) -> str:
        path = media.pictures.get(number)
        return "" if path is None else path.relative_to(self.media).as_posix()

    def _files(self, media: _Media) -> list[Path]:
        return [media.video] if media.video else list(media.pictures.values())
