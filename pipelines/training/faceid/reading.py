"""What a reader of latents says of who is shown, and of their AUs."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipelines.training.diffusion.loss import Guess
from pipelines.training.diffusion.reader import LatentReader, au_error, read_guess
from samplers.identities.identity import FACEID_WIDTH


class ReadError(NamedTuple):
    """How far what is read from guessed latents is from what was asked for.

    Attributes:
        total: what is learned: the faces' error and the AUs', by their weight.
        faces: mean of 1 − cosine of the embeddings [0–2].
        aus: mean squared error of the AUs [intensity²]; None where they have no weight.
    """

    total: Tensor
    faces: Tensor
    aus: Tensor | None

    def parts(self, name: str) -> dict[str, Tensor]:
        """Return the errors by name, as curves show them."""
        found = {f"{name} faces": self.faces}
        return found if self.aus is None else {**found, f"{name} AUs": self.aus}


def read_error(
    reader: LatentReader,
    guess: Guess,
    faces: Float[Tensor, "B 512"],
    aus: Float[Tensor, "B aus"],
    aus_weight: float,
) -> ReadError:
    """Return the errors of what is read from a guess, weighted by the signal that was seen.

    Args:
        reader: the trained reader of embeddings and AUs.
        guess: clean latents as the model guesses them.
        faces: embeddings that were shown; a row of zeros has no error.
        aus: AUs that were asked for.
        aus_weight: what their error counts beside that of the faces; at 0 they may be NaN.
    """
    read = read_guess(reader, guess)
    found = (face_errors(read[:, :FACEID_WIDTH], faces) * guess.signal).mean()
    if not aus_weight:
        return ReadError(found, found, None)
    of_aus = au_error(read[:, FACEID_WIDTH:], aus, guess.signal)
    return ReadError(found + aus_weight * of_aus, found, of_aus)


def face_errors(read: Float[Tensor, "B 512"], faces: Float[Tensor, "B 512"]) -> Float[Tensor, " B"]:
    """Return 1 − cosine of each row [0–2]; 0 where there is no embedding but zeros."""
    return (1 - functional.cosine_similarity(read, faces)) * faces.any(1)
