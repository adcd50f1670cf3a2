"""Frames of videos by PyAV: counted, and read one after another."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from PIL.Image import Image

from synthgen.errors import DatasetError, MissingDependencyError
from synthgen.foreign import first_line, regular_file
from synthgen.installation import install_command

ENDINGS = (".avi", ".mkv", ".mov", ".mp4", ".mpg", ".wmv")
"""Endings of videos that are looked for, in lower case."""


class BrokenVideoError(DatasetError):
    """A video cannot be opened, or breaks off; the text says why."""


def count_frames(path: Path) -> int:
    """Return how many frames a video has: its packets, of which none is decoded.

    Raises:
        BrokenVideoError: if it cannot be read.
        MissingDependencyError: if PyAV is not installed.
    """
    with closing(_open(path)) as container:
        try:
            return sum(1 for packet in container.demux(video=0) if packet.size)
        except _library().FFmpegError as error:
            raise BrokenVideoError(f"it cannot be read: {first_line(error)}") from error


class VideoFrames:
    """Frames of one video, which are asked for in ascending order.

    Args:
        path: the video.

    Raises:
        BrokenVideoError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        """Number of the frame that comes next."""
        self._container = _open(path)
        self._frames: Iterator[Any] = self._decoded()

    def frame(self, number: int) -> Image:
        """Return a frame as RGB; those before it are passed over.

        Raises:
            BrokenVideoError: if the video ends or breaks off before it.
        """
        if number < self.position:
            raise ValueError(f"frame {number} was passed already")
        try:
            while True:
                found = next(self._frames)
                self.position += 1
                if self.position > number:
                    return found.to_image()
        except StopIteration:
            raise BrokenVideoError(f"the video ends after {self.position} frames") from None
        except _library().FFmpegError as error:
            raise BrokenVideoError(
                f"the video breaks off after {self.position} frames: {first_line(error)}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _decoded(self) -> Iterator[Any]:
        yield from self._container.decode(video=0)


def _open(path: Path) -> Any:
    av = _library()
    regular_file(path, "the video", BrokenVideoError)
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BrokenVideoError(f"it cannot be read: {first_line(error)}") from error
    if not container.streams.video:
        container.close()
        raise BrokenVideoError("it has no pictures")
    return container


def _library() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            f"reading videos needs the package av (PyAV); {install_command('video')} brings it"
        ) from error
    return av
