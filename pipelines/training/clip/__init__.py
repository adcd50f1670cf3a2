"""The small CLIP: tokenizer, text and image encoders."""
