"""Examples to learn from: images with captions and AUs, drawn or read, in batches."""
