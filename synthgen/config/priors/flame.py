"""Section `expressions.flame`: the bank that renders requests for AUs as FLAME numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from synthgen.config.base import Component

if TYPE_CHECKING:
    from synthgen.config.run import RunConfig

MINI_BANK = "mini"
"""Name of the bank of drawn faces, and of the extractor of their numbers; `./mini` is a path."""

MOST_NEIGHBOURS = 256
"""Most faces of a bank that one request is shown by."""


class FlameConfig(Component):
    """Rendering of requests, whose language is AUs, as the FLAME numbers of faces in a bank."""

    bank: str = Field(
        min_length=1,
        description="Bank of expressions, as `synthgen flame bank` or `flame import` writes it; a "
        "relative path begins at the working directory. 'mini': drawn faces that show the run's "
        "AUs. Its digest is part of the identity of the data.",
    )
    method: Literal["nearest", "blend", "linear"] = Field(
        default="nearest",
        description="'nearest': one of the nearest faces that the run's checks would accept, drawn "
        "for each sample; 'blend': a convex mix of them; 'linear': a ridge map fitted to the bank.",
    )
    neighbours: int = Field(
        default=8,
        ge=1,
        le=MOST_NEIGHBOURS,
        description="Faces that one request is drawn from or mixed of, at most.",
    )
    extractor: str = Field(
        default="smirk",
        min_length=1,
        description="Network whose numbers the pipeline was trained on; banks of another one are "
        "refused. Without it 'mini' for bank: mini.",
    )

    @model_validator(mode="before")
    @classmethod
    def _extractor_of_drawn_faces(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("bank") == MINI_BANK:
            return {"extractor": MINI_BANK, **value}
        return value

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell that without checks the nearest faces count as near enough."""
        if run.verify.checks or self.method == "linear":
            return []
        return [
            "expressions.flame: no check looks at the AUs, so that the nearest faces of the bank "
            "serve each request, however far they are"
        ]

    def with_bank(self, bank: str) -> "FlameConfig":
        """Return the section with another bank; that of drawn faces brings its extractor."""
        named = {"extractor": MINI_BANK} if bank == MINI_BANK else {}
        return self.model_copy(update={"bank": bank, **named})

    def with_absolute_paths(self) -> "FlameConfig":
        """Return the section with a path of the bank that does not depend on the folder."""
        if self.bank == MINI_BANK:
            return self
        return self.model_copy(update={"bank": str(Path(self.bank).absolute())})

    def local_paths(self) -> list[str]:
        """Return the bank, where it is a file."""
        return [] if self.bank == MINI_BANK else [self.bank]
