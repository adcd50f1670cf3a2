"""Identity sources: who is shown, one module for each."""

from samplers.identities.prompts import Identity, PromptIdentities

__all__ = ["Identity", "PromptIdentities"]
