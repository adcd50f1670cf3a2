"""The dataset card, and what it says for machines: `README.md`, its picture, `croissant.json`."""

from synthgen.dataset.card.writing import render_card, write_card

__all__ = ["render_card", "write_card"]
