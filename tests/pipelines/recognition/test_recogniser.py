"""The network, its loss and its training: small ones, from scratch and from a folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_recognition import CATEGORIES, picture
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTModel

from pipelines.recognition import network as networks
from pipelines.recognition.labels import Targets, Vocabulary, one_hot
from pipelines.recognition.network import build, design, loss_of, read_logits
from pipelines.recognition.pixels import EpochOrder, FacePixels, changed, gather_pixels
from pipelines.recognition.training import Recipe, kept_predictions, train_and_predict
from synthgen.errors import ConfigError, TrainingError, WeightsError

NAMES = Vocabulary(CATEGORIES, ("AU1", "AU12"))
NORMAL = ((0.5,) * 3, (0.5,) * 3)


def faces(folder, count=12, labelled=True, seed=0):
    shown = [CATEGORIES[n % 3] for n in range(count)]
    pixels = gather_pixels((picture(c, n) for n, c in enumerate(shown)), 16, folder)
    known = np.array([[n % 3, np.nan] for n in range(count)], np.float32)
    labels = Targets(one_hot(shown, CATEGORIES), known) if labelled else None
    return FacePixels(pixels, *NORMAL, labels, seed)


@pytest.mark.parametrize("model", ["resnet", "vit"])
def test_a_new_network_is_a_function_of_its_seed(model):
    one, same, other = (build(design(model, 16), NAMES, seed) for seed in (3, 3, 4))
    pixels = torch.rand(2, 3, 16, 16)
    logits = one.eval()(pixel_values=pixels)["logits"]
    assert logits.shape == (2, 5)
    assert torch.equal(logits, same.eval()(pixel_values=pixels)["logits"])
    assert not torch.equal(logits, other.eval()(pixel_values=pixels)["logits"])
    assert one.config.id2label == dict(enumerate((*CATEGORIES, "AU1", "AU12")))


def test_a_folder_gives_its_weights_but_the_head_and_says_its_size(tmp_path):
    ViTModel(
        ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
                  image_size=32, patch_size=8)
    ).save_pretrained(tmp_path)  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 32, "width": 32}, "image_mean": [0.4] * 3})
    )
    found = design(str(tmp_path))
    assert (found.side, found.mean, found.deviation) == (32, (0.4,) * 3, (0.5,) * 3)
    one, other = build(found, NAMES, 1), build(found, NAMES, 2)
    key = "vit.embeddings.patch_embeddings.projection.weight"
    assert torch.equal(one.state_dict()[key], other.state_dict()[key])
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    with pytest.raises(WeightsError, match="takes no pictures of 64 pixels: "):
        build(design(str(tmp_path), 64), NAMES, 1)


def test_what_is_no_image_classifier_is_refused(tmp_path):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    BertForSequenceClassification(BertConfig(intermediate_size=8, **size)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError) as error:
        build(design(str(tmp_path)), NAMES, 0)
    assert str(error.value).startswith(
        f"{tmp_path} cannot be loaded as an image classifier: Unrecognized configuration class"
    )
    with pytest.raises(WeightsError, match="does not exist; it must hold"):
        design(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("model", "side", "said"),
    [
        ("resnet", 8, "pictures of 8 pixels are too small for --size; it must be 16 to 1024"),
        ("resnet", 4096, "pictures of 4096 pixels are too large for --size; it must be 16 to 1024"),
        ("vit", 20, "--size 20 is no multiple of 8, as --model vit needs"),
    ],
)
def test_a_side_that_cannot_be_is_refused(model, side, said):
    with pytest.raises(ConfigError) as error:
        design(model, side)
    assert str(error.value) == said


def test_the_loss_is_that_of_both_heads_as_by_hand():
    logits = torch.tensor([[2.0, 0.0, 1.0, 9.0], [0.0, 0.0, 3.0, 5.0]])
    labels = torch.tensor([[0.5, 0.5, 2.0, torch.nan], [0.0, 0.0, torch.nan, 1.0]])
    logs = torch.log_softmax(torch.tensor([2.0, 0.0]), 0)
    expected = -logs.mean() + 0.25 * ((1 - 2) ** 2 + (5 - 1) ** 2) / 2
    assert loss_of(2, 0.25)({"logits": logits}, labels) == pytest.approx(float(expected))


def test_logits_are_read_as_probabilities_and_intensities():
    shares, aus = read_logits(np.array([[0.0, 0.0, 0.0, -1.0, 7.0]], np.float32), NAMES)
    assert shares == pytest.approx(np.full((1, 3), 1 / 3))
    assert aus.tolist() == [[0.0, 5.0]]


def test_pictures_are_cut_to_their_middle_square(tmp_path):
    wide = picture("happy", 0).resize((64, 16))
    wide.paste((0, 0, 0), (0, 0, 16, 16))
    pixels = gather_pixels(iter([wide, picture("sad", 1)]), 16, tmp_path)
    assert pixels.shape == (2, 16, 16, 3)
    assert pixels[0].min() > 0
    assert list(tmp_path.iterdir()) == []


def test_changes_are_a_function_of_seed_epoch_and_place(tmp_path):
    learned, again = faces(tmp_path, seed=1), faces(tmp_path, seed=1)
    first = learned[5]["pixel_values"]
    assert torch.equal(first, again[5]["pixel_values"])
    assert not torch.equal(first, learned[12 + 5]["pixel_values"])
    assert not torch.equal(first, faces(tmp_path, seed=2)[5]["pixel_values"])


def test_no_change_is_the_picture_itself_and_mirroring_mirrors():
    pixels = np.asarray(picture("happy", 3))
    none = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.5, 0.5])
    assert changed(pixels, none) == pytest.approx(pixels / 255, abs=1e-6)
    mirrored = changed(pixels, np.where(np.arange(7) == 4, 0.1, none))
    assert mirrored == pytest.approx(pixels[:, ::-1] / 255, abs=1e-6)


def test_an_epoch_shows_each_picture_once_in_an_order_of_its_own():
    order = EpochOrder(10, 3)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == list(range(10))
    assert sorted(second) == list(range(10, 20))
    assert [place - 10 for place in second] != first


def trained(folder, recipe, seed=5):
    made = build(design("resnet", 16), NAMES, seed)
    learned, tested = faces(folder.parent, seed=seed), faces(folder.parent, 6, labelled=False)
    return train_and_predict(made, learned, tested, 3, recipe, seed, folder)


@pytest.fixture
def tiny(monkeypatch):
    """Make new networks tiny."""
    small = networks._small
    monkeypatch.setattr(networks, "_small", lambda *given: _tinier(small(*given)))


def _tinier(config):
    config.embedding_size, config.hidden_sizes = 8, [8, 8, 8, 8]
    return config


def test_a_training_that_was_stopped_ends_in_the_same_bits(tmp_path, tiny, monkeypatch):
    recipe = Recipe(epochs=3, batch_size=4, learning_rate=1e-2, device="cpu")
    whole = trained(tmp_path / "whole", recipe)
    assert sorted(path.name for path in (tmp_path / "whole").iterdir()) == [
        "model",
        "predictions.npy",
    ]
    from pipelines.recognition import training

    calls = []

    def stop(self, args, state, control, **kwargs):
        calls.append(state.global_step)
        if state.global_step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Progress, "on_step_end", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "stopped", recipe)
    checkpoints = tmp_path / "stopped" / "checkpoints"
    # A checkpoint that a kill left without its state is none.
    shutil.copytree(checkpoints / "checkpoint-3", checkpoints / "checkpoint-6")
    (checkpoints / "checkpoint-6" / "trainer_state.json").unlink()
    assert np.array_equal(trained(tmp_path / "stopped", recipe), whole)
    kept = kept_predictions(tmp_path / "stopped", 6)
    assert np.array_equal(kept, whole)
    assert kept_predictions(tmp_path / "stopped", 7) is None
    assert kept_predictions(tmp_path / "none", 6) is None


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, tiny):
    recipe = Recipe(epochs=1, batch_size=4, learning_rate=1e-3, au_weight=float("inf"))
    with pytest.raises(TrainingError) as error:
        trained(tmp_path / "x", recipe)
    assert str(error.value) == (
        "seed 5: the loss is nan after step 3; a lower --learning-rate or --dtype float32 may help"
    )


def test_half_precision_needs_a_gpu(tmp_path, tiny):
    with pytest.raises(ConfigError) as error:
        trained(tmp_path / "x", Recipe(dtype="float16", device="cpu"))
    assert str(error.value) == "--dtype float16 needs a GPU: use bfloat16 or float32"
