"""Baselines of the FineFace paper: Stable Diffusion told AUs in words, or by LoRAs of its own."""
