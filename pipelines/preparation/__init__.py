"""Datasets for trainings, prepared from pictures that users have: DISFA, AffectNet, any folder."""
