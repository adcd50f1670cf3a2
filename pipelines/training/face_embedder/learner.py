"""One step after another for the face embedder: a softmax with a margin over drawn people.

CosFace: Wang et al., CVPR 2018, Eq. 4. ArcFace: Deng et al., CVPR 2019, Eq. 3.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from pipelines.faceid.network import INPUT_SIDE, FaceNetwork
from pipelines.training.data.augmentation import augment
from pipelines.training.face_embedder.config import FaceEmbedderConfig, MarginConfig
from pipelines.training.face_embedder.people import Pictures
from pipelines.training.loop.learner import Learner
from samplers.identities.identity import FACEID_WIDTH

_NEAR_ONE = 1 - 1e-6


class PeopleClassifier(nn.Module):
    """An embedder, and a direction for each person of the training.

    Args:
        embedder: the embedder.
        people: number of people.
    """

    def __init__(self, embedder: FaceNetwork, people: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.people = nn.Parameter(torch.randn(people, FACEID_WIDTH) / FACEID_WIDTH**0.5)

    def forward(self, pixels: Float[Tensor, "B 3 112 112"]) -> Float[Tensor, "B people"]:
        """Return the cosine of each picture with each person's direction."""
        features = functional.normalize(self.embedder(pixels).float())
        with torch.autocast(pixels.device.type, enabled=False):
            return features @ functional.normalize(self.people).T


class FaceEmbedderLearner(Learner):
    """Learns a `PeopleClassifier`; batches are `Pictures`."""

    def __init__(self, config: FaceEmbedderConfig, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            embedder = FaceNetwork(config.model.channels, config.model.blocks)
            network = PeopleClassifier(embedder, config.people.count)
        super().__init__(config, config.cycles, network, device)
        self._config = config
        self._rising = config.margin.rise * sum(cycle.steps for cycle in config.cycles)

    def losses(self, batch: Pictures) -> dict[str, Tensor]:
        """Return the loss of a batch and the share of pictures whose person is nearest."""
        pixels = augment(batch.pixels.float() / 255, self._config.augmentation, INPUT_SIDE)
        with self.autocast():
            cosines = self.network(pixels)
        loss = margin_loss(cosines, batch.people, self._config.margin, self._risen())
        right = (cosines.argmax(1) == batch.people).float().mean()
        return {"loss": loss, "right": right}

    def _risen(self) -> float:
        return min(1.0, (self.step + 1) / self._rising) if self._rising else 1.0


def margin_loss(
    cosines: Float[Tensor, "B people"],
    people: Int[Tensor, " B"],
    margin: MarginConfig,
    share: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the cross-entropy in which the right person's cosine is made smaller.

    Args:
        cosines: cosine of each picture with each person.
        people: the right person of each picture.
        margin: kind, size and scale.
        share: share of the margin that counts already [0, 1].
    """
    size = share * margin.margin
    right = cosines.gather(1, people[:, None])
    if margin.kind == "cosface":
        hard = right - size
    else:
        angle = torch.acos(right.clamp(-_NEAR_ONE, _NEAR_ONE))
        hard = torch.cos((angle + size).clamp(max=math.pi))
    logits = margin.scale * cosines.scatter(1, people[:, None], hard)
    return functional.cross_entropy(logits, people)
