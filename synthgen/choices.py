"""Choices that keys of a configuration and options of commands share; imports nothing heavy."""

from typing import Literal

Scheduler = Literal["dpmpp", "ddim", "base"]
"""Sampler of a diffusion model: DPM-Solver++, DDIM, or the base's own."""

NumberFormat = Literal["float32", "bfloat16", "float16"]
"""Number format of a model's weights and computation."""

NoiseOwner = Literal["sample", "identity"]
"""Owner of the noise that an image starts from."""

LabelSides = Literal["mean", "max", "refuse"]
"""Treatment of a label table's AUs of the left and the right of a face."""

OnConflict = Literal["refuse", "move", "drop"]
"""Treatment of an identity that is in two splits of merged datasets."""

OnDuplicate = Literal["refuse", "drop"]
"""Treatment of rows with the same id or the same image in merged datasets."""

FaceLabels = Literal["requested", "measured", "soft"]
"""Labels of a dataset that a recogniser of expressions learns."""

ExportFormat = Literal["webdataset", "imagefolder", "csv", "coco", "lance"]
"""Format in which a dataset is exported."""
