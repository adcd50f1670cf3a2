"""Marks that say of pictures that they are synthetic: written, found, left out of comparisons."""
