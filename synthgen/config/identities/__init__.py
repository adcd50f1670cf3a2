"""The base of the sections of identity sources: who is shown."""

from synthgen.config.identities.base import IDENTITIES, AnyIdentities, IdentitySection

__all__ = ["IDENTITIES", "AnyIdentities", "IdentitySection"]
