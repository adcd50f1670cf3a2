"""The noise that an image starts from: its own, its identity's, or a blend of both."""

from collections.abc import Sequence
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from samplers.spec import Attempt


def own_generator(attempt: Attempt) -> torch.Generator:
    """Return the generator of an attempt's noise, on the CPU.

    An attempt without noise of its own gets its identity's, so that a sampler that draws on the way
    draws the same for all samples of the identity.
    """
    return torch.Generator("cpu").manual_seed(attempt.noise_seed)


def first_noise(
    attempt: Attempt, generator: torch.Generator, shape: Sequence[int]
) -> Float[Tensor, "..."]:
    """Draw standard normal noise of an attempt.

    A blend √(1−s)·shared + √s·own of independent normals is standard normal again.

    Args:
        attempt: whose noise.
        generator: its `own_generator`, which goes on from here.
        shape: of one image's latents.
    """
    own = torch.randn(shape, generator=generator)
    if attempt.shared_seed is None or attempt.own_share == 0:
        return own
    shared = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(attempt.shared_seed))
    return sqrt(1 - attempt.own_share) * shared + sqrt(attempt.own_share) * own
