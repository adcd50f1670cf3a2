"""Doubts about the people of a run, told before it."""

from cluster.preflight.findings import Finding, warning
from samplers.identities.alike import find_alike
from samplers.identities.faceid import configured_store
from synthgen.config import FaceIdIdentitiesConfig, RunConfig
from synthgen.errors import StoreError

_MOST_ROWS = 20_000
"""Rows of a store that are compared before a run: some seconds."""


def find_in_store(config: RunConfig) -> list[Finding]:
    """Find people of a store who may be one person under two names, free for two splits.

    A store that cannot be read is a finding of the plan's. People who are drawn anew keep their
    distance from each other, whatever the store holds.
    """
    identities = config.identities
    if not isinstance(identities, FaceIdIdentitiesConfig) or identities.synthetic is not None:
        return []
    try:
        store = configured_store(identities)
    except StoreError:
        return []  # the plan says it
    found = find_alike(store, _MOST_ROWS).sentence(f"identities.store: {store.where}")
    return [] if found is None else [warning(found)]
