"""Identity sources: the people of a run."""

from samplers.identities.faceid import FaceIdIdentities
from samplers.identities.identity import FaceIdentity, Identities, Identity
from samplers.identities.person_columns import Naming
from samplers.identities.prompts import PromptIdentities
from samplers.identities.store import FaceStore, read_store, write_store
from samplers.identities.synthetic import new_people

__all__ = [
    "FaceIdIdentities",
    "FaceIdentity",
    "FaceStore",
    "Identities",
    "Identity",
    "Naming",
    "PromptIdentities",
    "new_people",
    "read_store",
    "write_store",
]
