"""Face embedders, and the check that an image shows the person asked for."""
