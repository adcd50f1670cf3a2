"""Arc2Face and its adapters, learned beside a base of Stable Diffusion."""
