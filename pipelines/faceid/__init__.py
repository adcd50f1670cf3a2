"""Who is in an image: face embedders, and the check that an image shows the person asked for."""
