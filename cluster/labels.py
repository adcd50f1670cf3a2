"""Labels that an image source gives with its images, held against what it declares."""

from collections.abc import Mapping, Sequence, Sized
from typing import Any

from pipelines.interfaces import ImageSource
from samplers.spec import Attempt
from synthgen.errors import ConfigError


def labels_of_attempts(
    source: ImageSource, name: str, attempts: Sequence[Attempt]
) -> list[Mapping[str, Any]]:
    """Return what a source says of the images of attempts, without what it has not declared.

    Args:
        source: the image source.
        name: name of its pipeline, for the error.
        attempts: what the images were to show.

    Returns:
        For each attempt column → value; empty where the source declares no columns.

    Raises:
        ConfigError: if it does not say of each attempt what it has declared.
    """
    features = source.columns
    if not features:
        return [{} for _ in attempts]
    found = source.labels(attempts)
    if len(found) != len(attempts):
        raise ConfigError(
            f"the pipeline {name!r} gave labels of {len(found)} attempts of {len(attempts)}; its "
            "image source must return one mapping for each"
        )
    for column, feature in features.items():
        length = feature.get("length", -1)
        for attempt, labels in zip(attempts, found, strict=True):
            if column not in labels:
                raise ConfigError(
                    f"the pipeline {name!r} gives {attempt.spec.sample_id} no value of its column "
                    f"{column!r}; where there is none, it is None"
                )
            value = labels[column]
            if length >= 0 and isinstance(value, Sized) and len(value) != length:
                raise ConfigError(
                    f"the pipeline {name!r} gives {attempt.spec.sample_id} {len(value)} values in "
                    f"its column {column!r}, which was declared to hold {length}"
                )
    return [{column: labels[column] for column in features} for labels in found]
