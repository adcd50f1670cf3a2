"""Stable Diffusion: what the pipelines that are built on it share, in a run and outside."""
