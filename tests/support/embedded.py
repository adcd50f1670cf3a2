"""What the embedded models know, for tests that draw faces for them or name their AUs."""

from pipelines.fineface.weights import adapter_aus
from pipelines.libreface.weights import measured_aus
from pipelines.procedural.drawn_aus import edition_of
from synthgen.action_units import FACS

MEASURED = measured_aus("mini").names
"""The AUs that the embedded network measures."""

SHOWN = adapter_aus("mini").names
"""The AUs that the embedded adapter shows."""

NOT_SHOWN = next(name for name in FACS if name not in SHOWN and name not in MEASURED)
"""An AU of FACS that they do not know."""

EDITION = edition_of(measured_aus("mini"))
"""The edition of the drawings that the embedded network has learned."""
