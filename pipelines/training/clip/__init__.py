"""The text encoder that conditions, and the image encoder beside it."""
