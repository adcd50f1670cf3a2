"""Errors that a user can mend.

Each carries one sentence: what is wrong, where, the value, what is allowed. The command line prints
it and ends with exit code 2; any other exception is a defect and keeps its traceback.
"""

from synthgen.redaction import without_secrets


class SynthgenError(Exception):
    """The root of every error that a user can mend. Its text holds no secrets, wherever it goes."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(a) if isinstance(a, str) else a for a in args))


class ConfigError(SynthgenError):
    """The configuration asks for something that does not exist or cannot be."""


class ActionUnitError(SynthgenError, ValueError):
    """An AU name or an AU value that is not allowed."""


class PromptError(SynthgenError, ValueError):
    """A prompt of which a text encoder would not see the end."""


class FaceEmbeddingError(SynthgenError, ValueError):
    """Face embeddings of a shape or a value that is not allowed, or of another recogniser."""


class LabelsError(SynthgenError):
    """A label file cannot be read, or holds what is not allowed."""


class StoreError(SynthgenError):
    """A store of face embeddings cannot be read, or holds what is not allowed."""


class BankError(SynthgenError, ValueError):
    """FLAME numbers, or a bank of them, that cannot be read, or hold what is not allowed."""


class PictureError(SynthgenError):
    """A picture from outside cannot be read, or its pixels mean no colour; the text says why."""


class SigningError(SynthgenError):
    """A certificate, a key or a manifest that cannot be read, or that cannot sign."""


class WeightsError(SynthgenError):
    """A weight file is missing, is of the wrong format, or must not be loaded."""


class OutputError(SynthgenError):
    """The output is not ours, cannot be written, or holds another dataset."""


class DatasetError(SynthgenError):
    """A dataset that was written is incomplete or corrupt."""


class MissingFileError(DatasetError):
    """A file of a dataset is not there; the store itself answers."""


class MissingDependencyError(SynthgenError, ImportError):
    """An optional package is needed; the text holds its install line."""


class RunError(SynthgenError):
    """A run ended before its dataset was whole; what is committed stays. Exit code 3."""


class TrainingError(SynthgenError):
    """A training cannot go on; its last checkpoint stays."""
