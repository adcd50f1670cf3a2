"""Datasets written in the forms of other libraries: whole or not at all, and to be continued."""

from synthgen.dataset.exporting.exporting import Exported, Exporting, export

__all__ = ["Exported", "Exporting", "export"]
