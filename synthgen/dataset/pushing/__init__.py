"""Datasets on the Hugging Face Hub: their own files and no others, the card last."""

from synthgen.dataset.pushing.contents import Contents, gather
from synthgen.dataset.pushing.pushing import Pushed, Pushing, foresee, push

__all__ = ["Contents", "Pushed", "Pushing", "foresee", "gather", "push"]
