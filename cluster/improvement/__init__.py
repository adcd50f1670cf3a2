"""Closed loop: train on what was made, find what is confused, make more of it, train again."""

from cluster.improvement.ledger import describe
from cluster.improvement.loop import Improvement, improve
from cluster.improvement.outlook import describe_outlook

__all__ = ["Improvement", "describe", "describe_outlook", "improve"]
