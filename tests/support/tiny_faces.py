"""Small stores of face embeddings."""

import numpy as np

from samplers.identities.embeddings import StoreAbout
from samplers.identities.store import FaceStore

ABOUT = StoreAbout(embedder="sha256:toy", embedder_name="toy", licence="cc0", source="made up")


def random_embeddings(people, seed=0, width=512):
    """Draw float32 embeddings that are not normalised."""
    return np.random.default_rng(seed).normal(size=(people, width)).astype(np.float32)


def make_store(people=10, seed=0, faces=1, splits=None, about=ABOUT):
    """Make a store of people `p0`, `p1`, …, each with some faces."""
    ids = [f"p{person}" for person in range(people) for _ in range(faces)]
    each = None if splits is None else [split for split in splits for _ in range(faces)]
    return FaceStore.build(random_embeddings(people * faces, seed), ids, about, splits=each)
