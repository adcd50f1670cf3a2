"""What trainings beside a diffusion model share: its loss, latents, and frozen parts."""
