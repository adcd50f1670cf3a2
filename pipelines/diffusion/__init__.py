"""Stable Diffusion in a run: the keys, the answers and the noise that its pipelines share."""
