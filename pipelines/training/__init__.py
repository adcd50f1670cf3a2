"""Recipes that train the embedded models, and what they share."""
