"""Trainings of the baselines of FineFace's paper, beside the same base and on the same data."""
