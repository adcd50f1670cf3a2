"""Where the face stands in a drawn portrait, as fractions of the image's side.

Pose and face shape move the features by a few percent around these points. The `centered` aligner
crops by them, so that drawn and mini faces need no face tracker.
"""

EYE_LEFT = (0.385, 0.45)
"""Centre of the eye on the left of the image (the person's right eye), (x, y)."""

EYE_RIGHT = (0.615, 0.45)
"""Centre of the eye on the right of the image, (x, y)."""

MOUTH = (0.5, 0.70)
"""Middle between the mouth corners, (x, y)."""
