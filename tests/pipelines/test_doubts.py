"""Settings with which rows would name what images do not show are told before a run."""

from typing import Any

import pytest
from embedded import EDITION

from cluster.preflight import preflight
from pipelines.loading import doubts
from synthgen.config import RunConfig, parse_config

FINEFACE = {"name": "fineface", "weights": "mini"}


def run(path: object, pipeline: dict[str, Any], **changes: Any) -> RunConfig:
    return parse_config(
        {
            "name": "doubtful",
            "seed": 1,
            "samples": 4,
            "output": {"path": f"{path}/out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {
                "source": "prompts",
                "template": "a face",
                "expressions_per_identity": 4,
            },
            "verify": {"aligner": "centered"},
            "pipeline": pipeline,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (FINEFACE, []),
        (
            {**FINEFACE, "au_scale": 0},
            ["pipeline.au_scale is 0: images do not follow the AUs that their rows name"],
        ),
        (
            {**FINEFACE, "au_scale": -0.5, "guidance_scale": 1},
            ["pipeline.au_scale is -0.5: images do not follow the AUs that their rows name"],
        ),
        (
            {"name": "fineface-faceid", "weights": "mini", "ip_scale": 0},
            ["pipeline.ip_scale is 0: images do not show the people that their rows name"],
        ),
    ],
)
def test_scales_that_switch_a_branch_off_are_told(tmp_path, pipeline, said) -> None:
    people = {"source": "faceid", "store": "mini", "expressions_per_identity": 4}
    changes = {"identities": people} if pipeline["name"] == "fineface-faceid" else {}
    assert doubts(run(tmp_path, pipeline, **changes)) == said


def test_a_negative_prompt_that_nothing_reads_is_told(tmp_path) -> None:
    people = {
        "source": "prompts",
        "template": "a face",
        "expressions_per_identity": 4,
        "negative_prompt": "blurry",
    }
    config = run(tmp_path, {**FINEFACE, "guidance_scale": 1}, identities=people)
    assert doubts(config) == [
        "pipeline.guidance_scale is 1, which means no guidance: identities.negative_prompt has no "
        "effect"
    ]
    drawn = run(tmp_path, {"name": "procedural", "edition": EDITION}, identities=people)
    assert doubts(drawn) == ["identities.negative_prompt has no effect on drawn portraits"]
    assert doubts(run(tmp_path, FINEFACE, identities=people)) == []


def test_check_tells_doubts_as_warnings(tmp_path) -> None:
    config = run(tmp_path, {**FINEFACE, "au_scale": 0})
    told = [(finding.severity, finding.text) for finding in preflight(config, False).findings]
    assert (
        "warning",
        "pipeline.au_scale is 0: images do not follow the AUs that their rows name",
    ) in told
