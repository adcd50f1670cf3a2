"""Several datasets joined into one: columns, labels, splits, people and licences reconciled."""

from synthgen.dataset.merging.joining import Merged, Merging, merge

__all__ = ["Merged", "Merging", "merge"]
