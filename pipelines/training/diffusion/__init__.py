"""Shared parts of trainings beside a diffusion model: its loss, latents, and frozen parts."""
