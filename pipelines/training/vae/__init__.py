"""The VAE that latents are made with."""
