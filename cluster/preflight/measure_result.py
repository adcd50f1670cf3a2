"""What a quick measurement showed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a few batches of first attempts showed.

    Attributes:
        rate: images a second of one worker.
        images: images that were judged.
        accepted: those of them that the policy accepts.
        bytes: mean size of an encoded image [bytes].
        hardware: the accelerator.
        memory: most GPU memory in use [bytes]; None on a CPU.
    """

    rate: float
    images: int
    accepted: int
    bytes: float
    hardware: str
    memory: int | None
