"""The whole configuration of a run."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from synthgen.action_units import ActionUnitSet
from synthgen.config.base import Component, Section
from synthgen.config.components import ComponentField
from synthgen.config.identities import AnyIdentities
from synthgen.config.output import ClusterConfig, OutputConfig
from synthgen.config.pipeline import PIPELINES, PipelineSection
from synthgen.config.priors import AnyPrior
from synthgen.config.verify import VerifyConfig

_RUN_ID_DIGITS = 8


MOST_SHARDS = 2_000_000
"""Most shards of a run: a file each, and the driver keeps them all in mind."""


class RunConfig(Section):
    """A run of synthgen: the dataset is a function of this alone."""

    name: str = Field(
        min_length=1,
        max_length=96,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the dataset: letters, digits, '.', '_' and '-'.",
    )
    seed: int = Field(ge=0, lt=2**63, description="Seed of everything that is drawn [0, 2^63).")
    samples: int = Field(
        ge=1, le=10**9, description="Accepted samples asked for; can be raised later."
    )
    output: OutputConfig = Field(description="Where the dataset goes, and how it is cut.")
    expressions: AnyPrior = Field(description="The prior over AU vectors.")
    identities: AnyIdentities = Field(description="Who is shown.")
    pipeline: Annotated[PipelineSection, ComponentField(PIPELINES)] = Field(
        description="What turns a spec into an image."
    )
    verify: VerifyConfig = Field(
        default_factory=VerifyConfig, description="What is measured and kept."
    )
    cluster: ClusterConfig = Field(
        default=ClusterConfig(), description="On what the run runs; the data does not depend on it."
    )

    @model_validator(mode="after")
    def _checks_fit(self) -> Self:
        self.verify.check_configuration(self)
        return self

    @model_validator(mode="after")
    def _references_can_be_kept(self) -> Self:
        given = self.identities.given() | self.expressions.given()
        if self.output.keep_reference and "reference" not in given:
            raise ValueError(
                "output.keep_reference keeps the pictures that images are edited from, and no "
                "image of this run is edited from one; leave it out, or set identities.reference"
            )
        return self

    @model_validator(mode="after")
    def _aus_can_be_shown(self) -> Self:
        """Refuse AUs that the pipeline cannot show or a check cannot measure."""
        for who, does, known in (
            (f"pipeline {self.pipeline.name!r}", "show", self.pipeline.action_units),
            *(
                (f"verifier {check.name!r}", "measure", check.action_units)
                for check in self.verify.checks
            ),
        ):
            missing = () if known is None else self.expressions.au_set.without(known)
            if known is not None and missing:
                able = ", ".join(ActionUnitSet.of(known).names) if known else "none"
                raise ValueError(
                    f"{who} cannot {does} {', '.join(missing)}, which expressions.action_units "
                    f"names; it can {does} {able}"
                )
        return self

    @model_validator(mode="after")
    def _shards_can_be_counted(self) -> Self:
        shards = -(-self.samples // self.output.shard_size)
        if shards > MOST_SHARDS:
            least = -(-self.samples // MOST_SHARDS)
            raise ValueError(
                f"{self.samples} samples with output.shard_size: {self.output.shard_size} make "
                f"{shards:,} shards; at most {MOST_SHARDS:,} are possible, so set "
                f"output.shard_size to {least} or more"
            )
        return self

    def identity(self) -> dict[str, object]:
        """Return the part of the configuration that the data is a function of.

        That is every key but `output.path`, `cluster`, `samples` (a run can be extended),
        `verify.fuse` (it ends a run and changes no image), and what a component leaves out of its
        own `identity`.
        """
        keys = self.model_dump(mode="json", exclude={"cluster": True, "samples": True})
        del keys["output"]["path"], keys["output"]["mark"], keys["verify"]["fuse"]
        if self.output.marked:  # without the key, a dataset of versions that knew no marks
            keys["output"]["mark"] = True
        keys["pipeline"] = self.pipeline.identity()
        keys["identities"] = self.identities.identity()
        if "checks" in keys["verify"]:
            keys["verify"]["checks"] = [check.identity() for check in self.verify.checks]
        return keys

    def components(self) -> list[Component]:
        """Return the sections of all components of the run, and of their parts."""
        top = (self.pipeline, self.identities, self.expressions, self.verify)
        return [component for section in top for component in _components(section)]

    def run_id(self) -> str:
        """Return the short name of the run that its ids carry; empty with `output.ids: plain`.

        It follows from the identity alone, and neither from the batch size nor from marks: those
        may be found while a run begins, and change no more than the last bits of the same samples,
        or no pixel.
        """
        if self.output.ids == "plain":
            return ""
        return run_id_of(self.identity())


def run_id_of(identity: Mapping[str, Any]) -> str:
    """Return the short name of a run by the configuration's part of its identity."""
    pipeline = {k: v for k, v in identity.get("pipeline", {}).items() if k != "batch_size"}
    named = {**identity, "pipeline": pipeline}
    if "output" in named:
        named["output"] = {k: v for k, v in named["output"].items() if k != "mark"}
    text = json.dumps(named, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:_RUN_ID_DIGITS]


def _components(section: Section) -> Iterator[Component]:
    if isinstance(section, Component):
        yield section
    for name in type(section).model_fields:
        value = getattr(section, name)
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Section):
                yield from _components(part)
