"""Recognisers of expressions, trained on datasets to see what these are worth.

The names below load their module, and with it torch, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.recognition.evaluate import evaluate_fer, train_fer
    from pipelines.recognition.lesson import FerEvaluation
    from pipelines.recognition.training import Recipe

__all__ = ["FerEvaluation", "Recipe", "evaluate_fer", "train_fer"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "FerEvaluation": "pipelines.recognition.lesson",
        "Recipe": "pipelines.recognition.training",
        "evaluate_fer": "pipelines.recognition.evaluate",
        "train_fer": "pipelines.recognition.evaluate",
    },
)
