import pytest

from synthgen.config import RunConfig, parse_config


def _configuration(samples=60, group=3, prior="emotions", **output) -> RunConfig:
    priors = {
        "emotions": {"prior": "emotions", "categories": ["neutral", "happy", "sad", "awed"]},
        "weighted": {"prior": "emotions", "categories": {"happy": 2.0, "sad": 1.0}},
        "independent": {
            "prior": "independent",
            "aus": {"AU1": {"rate": 0.3}, "AU12": {"rate": 0.5}, "AU25": {"rate": 0.2}},
        },
    }
    return parse_config(
        {
            "name": "test",
            "seed": 11,
            "samples": samples,
            "output": {"path": "out", "shard_size": 7, **output},
            "expressions": priors[prior],
            "identities": {
                "source": "prompts",
                "template": "a {age} {person}, {hair}",
                "slots": {
                    "age": {"young": 2.0, "old": 1.0},
                    "person": ["man", "woman"],
                    "hair": [f"hair {number}" for number in range(60)],
                },
                "negative_prompt": "blurry",
                "expressions_per_identity": group,
            },
            "pipeline": {"name": "procedural"},
        }
    )


@pytest.fixture(scope="session")
def configuration():
    """Make a small configuration; keyword arguments go to its keys."""
    return _configuration
