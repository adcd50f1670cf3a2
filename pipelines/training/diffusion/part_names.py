"""Names of the parts of a Stable Diffusion base, as diffusers and transformers write them."""

TEXT, TOKENIZER, IMAGE = "text_encoder", "tokenizer", "image_encoder"
PROCESSOR = "feature_extractor"
"""Folders of a base."""

MODEL_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""Weights of a VAE or a UNet."""

ENCODER_WEIGHTS = "model.safetensors"
"""Weights of a text or image encoder."""
