"""What the embedded models know, for tests that draw faces for them."""

from pipelines.libreface.weights import measured_aus
from pipelines.procedural.drawn_aus import edition_of

EDITION = edition_of(measured_aus("mini"))
"""The edition of the drawings that the embedded network has learned."""
