"""Identity sources: the people of a run.

The names below load their module when they are first used: stores of face embeddings take pyarrow.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from samplers.identities.faceid import FaceIdIdentities
    from samplers.identities.identity import FaceIdentity, Identities, Identity
    from samplers.identities.person_columns import Naming
    from samplers.identities.prompts import PromptIdentities
    from samplers.identities.reference import ReferenceImage
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
    "ReferenceImage",
    "new_people",
    "read_store",
    "write_store",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "FaceIdIdentities": "samplers.identities.faceid",
        "FaceIdentity": "samplers.identities.identity",
        "FaceStore": "samplers.identities.store",
        "Identities": "samplers.identities.identity",
        "Identity": "samplers.identities.identity",
        "Naming": "samplers.identities.person_columns",
        "PromptIdentities": "samplers.identities.prompts",
        "ReferenceImage": "samplers.identities.reference",
        "new_people": "samplers.identities.synthetic",
        "read_store": "samplers.identities.store",
        "write_store": "samplers.identities.store",
    },
)
