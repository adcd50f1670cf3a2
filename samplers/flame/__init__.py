"""Expressions as FLAME numbers, banks of them, and requests for Action Units rendered by a bank.

The names below load their module when they are first used: banks take pyarrow.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from samplers.flame.bank import Bank, BankAbout
    from samplers.flame.expression import FLAME_WIDTH, FlameExpression, flame_batch

__all__ = ["FLAME_WIDTH", "Bank", "BankAbout", "FlameExpression", "flame_batch"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "FLAME_WIDTH": "samplers.flame.expression",
        "Bank": "samplers.flame.bank",
        "BankAbout": "samplers.flame.bank",
        "FlameExpression": "samplers.flame.expression",
        "flame_batch": "samplers.flame.expression",
    },
)
