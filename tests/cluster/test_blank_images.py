"""Images of one colour are rejected under every policy, and never kept as the best."""

import pytest
from PIL import Image

from cluster.driver import generate
from cluster.worker import Worker, load_worker
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import ActionUnitCheck
from pipelines.policy import blank_detail
from pipelines.procedural.source import ProceduralSource
from samplers.plan import build_plan
from synthgen.dataset import Storage, read_markers

LAX = {
    "max_attempts": 2,
    "policy": {"max_active_error": 5.0, "max_inactive": 5.0, "min_active": None},
}
DETAIL = "every pixel is (0, 0, 0): the model painted nothing, or its numbers are not finite"


class BlackSource(ProceduralSource):
    """A source whose first attempts are black, or all of them."""

    always = True

    def generate(self, attempts):
        return [
            Image.new("RGB", picture.size) if self.always or not attempt.number else picture
            for attempt, picture in zip(attempts, super().generate(attempts), strict=True)
        ]


class SometimesBlackSource(BlackSource):
    always = False


def loader(kind):
    def load(config, plan):
        return Worker(
            config,
            plan,
            kind(config.pipeline),
            [ActionUnitCheck(LibreFaceVerifier.from_pretrained(), config.verify.checks[0].policy)],
            Storage(config.output.path),
        )

    return load


@pytest.mark.parametrize("on_exhausted", ["drop", "keep_best"])
def test_black_images_are_kept_under_no_policy(make_config, on_exhausted, caplog):
    config = make_config(samples=4, verify={**LAX, "on_exhausted": on_exhausted})
    summary = generate(config, "inline", load=loader(BlackSource))
    assert (summary.rows, summary.missing, summary.rejected) == (0, 4, {"blank": 8})
    told = [record.getMessage() for record in caplog.records if "is blank" in record.getMessage()]
    assert len(told) == 1
    assert told[0].endswith(f"is blank: {DETAIL}")


def test_the_next_attempt_is_made_after_a_blank_one(make_config):
    config = make_config(samples=4, verify={**LAX, "on_exhausted": "keep_best"})
    summary = generate(config, "inline", load=loader(SometimesBlackSource))
    assert (summary.rows, summary.accepted, summary.rejected) == (4, 4, {"blank": 4})
    assert len(read_markers(Storage(config.output.path))) >= 1


def test_a_blank_image_is_measured_as_nothing(make_config):
    config = make_config(samples=4, verify=LAX)
    plan = build_plan(config)
    worker = load_worker(config, plan)
    attempt = plan.attempt(plan.sample(0), 0)
    (outcome,) = worker.judge([attempt], [Image.new("RGB", (64, 64), (9, 9, 9))])
    assert outcome.row is None
    assert outcome.measured == {}
    assert outcome.reject is not None
    assert outcome.reject.reason == "blank"
    assert outcome.reject.detail == DETAIL.replace("(0, 0, 0)", "(9, 9, 9)")


def test_the_advice_for_float16_is_given_where_it_serves():
    image = Image.new("L", (8, 8))
    assert blank_detail(image, "float16") == (
        f"{DETAIL}; some models overflow in float16, so set pipeline.dtype to bfloat16 or float32"
    )
    assert blank_detail(image, "float32") == DETAIL
    image.putpixel((3, 3), 1)
    assert blank_detail(image, "float16") is None
