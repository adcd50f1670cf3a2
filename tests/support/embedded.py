"""What the embedded models know, for tests that draw faces for them."""

from pipelines.libreface.weights import measured_aus
from pipelines.procedural.drawn_aus import edition_of

MEASURED = measured_aus("mini")
"""The AUs that the embedded network measures."""

EDITION = edition_of(MEASURED)
"""The edition of the drawings that the embedded network has learned."""
