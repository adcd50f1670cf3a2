import pytest

from pipelines.training.au_network.learner import AUNetworkConfig
from synthgen.action_units import AUS
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError

SMALL = """
seed: 1
cycles: [{steps: 4}, {steps: 6}]
faces: {expressions: [{share: 0.4, rate: 0}, {share: 0.6, rate: 0.3}]}
"""


def read(tmp_path, text):
    path = tmp_path / "au-net.yaml"
    path.write_text(text)
    return load_section(path, AUNetworkConfig)


def test_defaults_fill_what_is_not_said(tmp_path):
    config = read(tmp_path, SMALL)
    assert (config.input_size, config.steps) == (112, 10)
    assert [kind.rate for kind in config.faces.expressions] == [0, 0.3]


def test_a_step_belongs_to_its_cycle(tmp_path):
    config = read(tmp_path, SMALL)
    assert [config.cycle(step).steps for step in (0, 3, 4, 9, 10)] == [4, 4, 6, 6, 6]


def test_the_shipped_configurations_are_allowed():
    assert load_section("examples/train/au-net.yaml", AUNetworkConfig).input_size == 112
    second = load_section("examples/train/second/au-net.yaml", AUNetworkConfig)
    assert (len(second.faces.action_units), len(second.faces.sided)) == (18, 12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SMALL.replace("0.4", "0.3"),
            "faces: the shares of expressions add up to 0.9; they must to 1",
        ),
        (
            SMALL.replace("{steps: 6}", "{steps: 6, emphasis: {AU3: 2}}"),
            "cycles.1.emphasis: unknown Action Unit 'AU3'; the AUs in use are " + ", ".join(AUS),
        ),
        (
            SMALL + "rates: 3\n",
            "line 5: unknown key rates; did you mean 'faces'? There are seed, cycles, batch_size, "
            "input_size, faces, init, decoded, augmentation, coarse, optimizer, dropout, "
            "detection_weight and 7 more",
        ),
        (SMALL.replace("seed: 1\n", ""), "key seed is missing"),
        (
            SMALL.replace("faces: {", "faces: {intensity: {low: 0, high: 7}, "),
            "faces: intensity 7 is outside [0, 5]",
        ),
        (
            SMALL.replace("faces: {", "faces: {one_sided: 0.2, "),
            "faces: one_sided is 0.2, but the 12 AUs of DISFA are learned without sides; set aus: "
            "drawn and edition: 2",
        ),
        (
            SMALL.replace("faces: {", "faces: {size: 100, ") + "decoded: {share: 0.5}\n",
            "faces.size is 100; faces that a VAE decodes have a multiple of 8",
        ),
        (
            SMALL + "input_size: 8\n",
            "line 5: input_size is 8; it must be at least 32",
        ),
    ],
)
def test_what_is_not_allowed_is_said_in_one_sentence(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"{tmp_path / 'au-net.yaml'}: {said}"
