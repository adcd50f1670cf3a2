"""How a model that is judged paints: what every evaluation is told besides what is its own."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from synthgen.config.base import Section
from synthgen.config.pipeline import GUIDANCE_SCALE, MINI_GUIDANCE_SCALE


class PaintingSettings(Section):
    """Sampler, scales, number format and seed of an evaluation."""

    scheduler: Literal["dpmpp", "ddim", "base"] = Field(default="dpmpp", description="Sampler.")
    steps: int = Field(default=20, ge=1, le=1000, description="Denoising steps.")
    guidance: float | None = Field(
        default=None,
        ge=0,
        description="Guidance scale; null: 1.2 for the embedded base, 7.5 for others.",
    )
    au_scale: float = Field(default=1.0, description="Scale of the AU branch.")
    batch_size: int = Field(default=16, ge=1, le=4096, description="Images painted at once.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Number format of the models."
    )
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of prompts and noise.")

    def sampling(self, base: str) -> dict[str, Any]:
        """Return the keys of a pipeline's configuration that say how it samples.

        Args:
            base: the Stable Diffusion base, which decides the guidance where none is given.
        """
        usual = MINI_GUIDANCE_SCALE if base == "mini" else GUIDANCE_SCALE
        return {
            "scheduler": self.scheduler,
            "num_inference_steps": self.steps,
            "guidance_scale": usual if self.guidance is None else self.guidance,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "dtype": self.dtype,
        }

    def written(self, command: str) -> str:
        """Return the command with all that is set, without where things are written.

        Args:
            command: the command's name; what is its own comes before how it paints.
        """
        shared = PaintingSettings.model_fields
        own = {name: field for name, field in type(self).model_fields.items() if name not in shared}
        words = [command]
        for name, field in (own | shared).items():
            value = getattr(self, name)
            if value != field.default:
                words.append(f"--{name.replace('_', '-')} {_word(value)}")
        return " ".join(words)


def _word(value: object) -> str:
    text = value.name if isinstance(value, Path) else str(value)
    return f'"{text}"' if " " in text else text
