"""The reference branch: what it does to images, that nothing stays, and what its file must hold."""

import numpy as np
import pytest
import torch
from arc2face_files import (
    LORA_FILE,
    expressions,
    first_noise,
    make_reference_adapter,
    people,
    references,
    tiny_arc2face_unet,
)
from diffusers.callbacks import SDCFGCutoffCallback
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines import Arc2FacePipeline
from pipelines.arc2face.reference import keep_features
from synthgen.errors import FaceEmbeddingError, PictureError, WeightsError


@pytest.fixture
def editor(files, pipe) -> Arc2FacePipeline:
    """The tiny pipeline with the reference adapter."""
    pipe.load_reference_adapter(files.reference)
    return pipe


def paint(pipe, *args, rows: int = 1, **kwargs) -> Tensor:
    asked = {"num_inference_steps": 2, "output_type": "latent", **kwargs}
    return pipe(*args, **{"latents": first_noise(rows), **asked}).images


def traces(pipe) -> list[object]:
    """Return whatever a call could leave behind in the UNet."""
    found: list[object] = []
    for path, module in pipe.unet.named_modules():
        found += [path, type(module), len(module._forward_hooks), len(module._forward_pre_hooks)]
        found += [getattr(module, "processor", None), getattr(module, "disable_adapters", None)]
        found += [getattr(module, "active_adapters", None)]
    flags = [(name, p.requires_grad) for name, p in pipe.unet.named_parameters()]
    return [*found, flags, {k: v.clone() for k, v in pipe.unet.state_dict().items()}]


def assert_untouched(pipe, before: list[object]) -> None:
    *after, weights = traces(pipe)
    assert after == before[:-1]
    assert all(torch.equal(weights[name], value) for name, value in before[-1].items())


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_a_batch_with_and_without_references_equals_its_samples_one_at_a_time(editor, guidance):
    first, second = references(2)
    pictures = [None, first, second, None, first]

    together = paint(editor, people(5), reference_image=pictures, rows=5, guidance_scale=guidance)

    for row, picture in enumerate(pictures):
        noise = first_noise(5)[row : row + 1]
        alone = paint(
            editor,
            people(5)[row],
            reference_image=picture,
            latents=noise,
            guidance_scale=guidance,
        )
        assert (together[row] - alone[0]).abs().max() <= 1e-4


def test_a_reference_changes_the_image_and_its_lora_too(editor):
    plain = paint(editor, people(1))
    joined = paint(editor, people(1), reference_image=references(1), reference_scale=0)
    whole = paint(editor, people(1), reference_image=references(1))
    other = paint(editor, people(1), reference_image=references(1, seed=3))

    pairs = [(plain, joined), (joined, whole), (whole, other)]
    assert all((a - b).abs().max() > 0.01 for a, b in pairs)


def test_without_a_reference_images_are_the_plain_ones(files, pipe):
    plain = paint(pipe, people(2), rows=2)
    pipe.load_reference_adapter(files.reference)

    assert torch.equal(paint(pipe, people(2), rows=2), plain)
    nobody = paint(pipe, people(2), reference_image=[None, None], rows=2)
    assert torch.equal(nobody, plain)


def test_one_reference_serves_all_samples(files, editor):
    editor.load_expression_adapter(files.expression)
    picture = references(1)[0]

    found = paint(editor, people(1), expressions(3), reference_image=picture, rows=3)

    pictures = picture.repeat(3, 1, 1, 1)
    same = people(1).repeat(3, 0)
    spread = paint(editor, same, expressions(3), reference_image=pictures, rows=3)
    assert (found - spread).abs().max() <= 1e-4


def test_images_of_each_sample_keep_its_reference(editor):
    pictures = references(2)

    found = paint(editor, people(2), reference_image=pictures, num_images_per_prompt=2, rows=4)

    spread = paint(
        editor,
        people(2).repeat(2, 0),
        reference_image=pictures.repeat_interleave(2, dim=0),
        rows=4,
    )
    assert (found - spread).abs().max() <= 1e-4


def test_pictures_are_scaled_to_the_images(editor):
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    tensor = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)

    found = paint(editor, people(1), reference_image=picture)

    expected = paint(editor, people(1), reference_image=tensor)
    assert (found - expected).abs().max() <= 1e-4
    large = picture.resize((64, 64), Image.Resampling.NEAREST)
    scaled = paint(editor, people(1), reference_image=[large])
    smaller = paint(editor, people(1), reference_image=large.resize((16, 16), Image.LANCZOS))
    assert torch.equal(scaled, smaller)


def test_nothing_of_a_call_stays_in_the_unet(files, editor):
    editor.load_expression_adapter(files.expression)
    before = traces(editor)

    paint(editor, people(1), expressions(1), reference_image=references(1))

    assert_untouched(editor, before)


@pytest.mark.parametrize("where", ["features", "steps"])
def test_nothing_of_a_call_stays_in_the_unet_after_an_exception(files, editor, where):
    editor.load_lora_weights(files.lcm, adapter_name="lcm")
    editor.load_expression_adapter(files.expression)
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) > (1 if where == "steps" else 0):
            raise KeyboardInterrupt

    hook = editor.unet.conv_out.register_forward_pre_hook(fail)
    before = traces(editor)

    with pytest.raises(KeyboardInterrupt):
        paint(editor, people(1), expressions(1), reference_image=references(1))

    assert_untouched(editor, before)
    hook.remove()


def test_features_are_those_of_a_second_unet_to_the_bit(files, editor):
    editor.load_lora_weights(files.lcm, adapter_name="lcm")
    editor.load_expression_adapter(files.expression)
    text, latents = editor.encode_identity(people(2)), first_noise(2)
    shown = [torch.zeros(2, 1, 55)]

    found = keep_features(editor.unet, latents, text, shown)

    second = keep_features(tiny_arc2face_unet(10), latents, text, None)
    assert found.keys() == second.keys()
    assert all(torch.equal(found[path], second[path]) for path in second)
    assert len(found) == 4


def test_an_lcm_lora_acts_beside_a_reference(files, editor):
    alone = paint(editor, people(1), reference_image=references(1))
    editor.load_lora_weights(files.lcm, adapter_name="lcm")

    both = paint(editor, people(1), reference_image=references(1))

    assert (both - alone).abs().max() > 0.01
    editor.set_adapters(["lcm"], [0.0])
    silent = paint(editor, people(1), reference_image=references(1))
    assert (silent - alone).abs().max() <= 1e-4
    editor.disable_lora()
    off = paint(editor, people(1), reference_image=references(1))
    assert (off - alone).abs().max() <= 1e-4


def test_an_adapter_is_read_whatever_is_loaded_before(files, editor):
    expected = paint(editor, people(1), reference_image=references(1))
    late = files.pipeline()
    late.load_lora_weights(files.lcm, adapter_name="lcm")
    late.set_adapters(["lcm"], [0.0])

    late.load_reference_adapter(files.reference)

    found = paint(late, people(1), reference_image=references(1))
    assert (found - expected).abs().max() <= 1e-4


def test_a_callback_may_end_guidance_on_the_way(editor):
    cut = SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=0)

    found = paint(editor, people(1), reference_image=references(1), callback_on_step_end=cut)

    assert found.isfinite().all()
    assert not torch.equal(found, paint(editor, people(1), reference_image=references(1)))


def test_a_reference_works_in_bfloat16(files):
    pipe = files.pipeline(dtype=torch.bfloat16)
    pipe.load_reference_adapter(files.reference)

    found = paint(pipe, people(1), reference_image=references(1), latents=None)

    assert found.isfinite().all()


@pytest.mark.slow  # torch traces the UNet
def test_a_compiled_unet_computes_the_same_and_compiles_nothing_for_references(files, editor):
    compiled = files.pipeline()
    compiled.load_reference_adapter(files.reference)
    graphs = []

    def count(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled.unet.compile(backend=count, dynamic=False)
    for picture in (None, references(1), None, references(1, seed=3), None):
        asked = {"reference_image": picture, "num_inference_steps": 1}
        found = paint(compiled, people(1), **asked)
        assert (found - paint(editor, people(1), **asked)).abs().max() <= 1e-4

    assert len(graphs) == 1


def test_unloading_takes_the_adapter_away(editor):
    editor.unload_reference_adapter()
    editor.unload_reference_adapter()

    with pytest.raises(WeightsError) as caught:
        editor(people(1), reference_image=references(1))
    assert str(caught.value) == (
        "the pipeline has no reference adapter; load one by load_reference_adapter first"
    )


def test_a_loaded_adapter_cannot_be_lost_by_saving(editor, tmp_path):
    with pytest.raises(WeightsError) as caught:
        editor.save_pretrained(tmp_path / "saved")
    assert str(caught.value) == (
        "the reference adapter cannot be saved with a pipeline; call unload_reference_adapter "
        "before save_pretrained, and load_reference_adapter after from_pretrained"
    )
    assert not (tmp_path / "saved").exists()


def test_fused_projections_are_refused(editor):
    editor.unet.fuse_qkv_projections()
    before = traces(editor)

    with pytest.raises(WeightsError) as caught:
        editor(people(1), reference_image=references(1))
    assert str(caught.value) == (
        "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before a "
        "call with a reference image"
    )
    assert_untouched(editor, before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            Image.new("RGB", (20, 16)),
            "reference image 0 (from 0) has 20 × 16 pixels; it must have the shape of the images, "
            "16 × 16: cut the face out as in FFHQ first",
        ),
        (
            [None, torch.zeros(3, 8, 8)],
            "reference image 1 (from 0) is a tensor of shape [3, 8, 8]; it must be [3, 16, 16], as "
            "large as the images",
        ),
        (
            torch.full((3, 16, 16), 255),
            "reference image 0 (from 0) holds numbers from 255 to 255; a tensor's must lie in "
            "[−1, 1]",
        ),
        (
            torch.full((3, 16, 16), torch.nan),
            "reference image 0 (from 0) holds numbers from nan to nan; a tensor's must lie in "
            "[−1, 1]",
        ),
        (
            "photo.png",
            "reference image 0 (from 0) is of the type str; it must be a PIL image, a tensor "
            "[3, height, width] in [−1, 1], or None",
        ),
        (
            Image.new("F", (16, 16)),
            "reference image 0 (from 0) cannot be used: its pixels are of the kind 'F', for which "
            "no white is known; save it as RGB, or as grey of 8 or 16 bits",
        ),
        ([], "reference_image is empty; give an image for all samples or for each"),
    ],
)
def test_references_that_are_none_are_refused(editor, given, said):
    with pytest.raises(PictureError) as caught:
        editor(people(2), reference_image=given)
    assert str(caught.value) == said


def test_numbers_of_people_and_references_must_go_together(editor):
    with pytest.raises(FaceEmbeddingError) as caught:
        editor(people(2), reference_image=list(references(3)))
    assert str(caught.value) == (
        "rows that do not go together: 2 of people, 3 of reference images; give one for all "
        "samples, or one for each"
    )


def refusal(pipe, folder, change) -> str:
    path = make_reference_adapter(folder) / LORA_FILE
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        pipe.load_reference_adapter(folder)
    return str(caught.value).replace(str(path), "FILE")


LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def test_missing_and_superfluous_weights_are_named(pipe, tmp_path):
    assert refusal(pipe, tmp_path, lambda s: s.pop(f"{LAYER}.lora_B.weight")) == (
        f"FILE does not fit the network; missing: {LAYER}.lora_B.weight"
    )
    extra = {"unet.nowhere.lora_A.weight": torch.zeros(4, 16)}
    assert refusal(pipe, tmp_path, lambda s: s.update(extra)) == (
        "FILE does not fit the network; unexpected: unet.nowhere.lora_A.weight"
    )


def test_a_lora_of_another_shape_is_refused(pipe, tmp_path):
    change = {f"{LAYER}.lora_A.weight": torch.zeros(4, 17)}
    assert refusal(pipe, tmp_path, lambda s: s.update(change)) == (
        f"FILE: {LAYER}.lora_A.weight has shape [4, 17]; it must have [4, 16]"
    )


def test_a_file_without_a_lora_is_refused(pipe, tmp_path):
    assert refusal(pipe, tmp_path, dict.clear) == (
        "FILE holds no LoRA; it must hold unet.<layer>.lora_A.weight and .lora_B.weight"
    )


def test_a_lora_by_the_names_of_diffusers_is_read_too(editor, tmp_path):
    expected = paint(editor, people(1), reference_image=references(1))
    path = make_reference_adapter(tmp_path / "ref_adapter") / LORA_FILE
    old = {
        name.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): value
        for name, value in load_file(path).items()
    }
    save_file(old, path)

    editor.load_reference_adapter(tmp_path)  # the folder of the published layout

    assert torch.equal(paint(editor, people(1), reference_image=references(1)), expected)


def test_alpha_of_the_file_counts(editor, tmp_path):
    path = make_reference_adapter(tmp_path) / LORA_FILE
    state = load_file(path)
    layers = [name.removesuffix(".lora_A.weight") for name in state if "lora_A" in name]
    save_file(state | {f"{layer}.alpha": torch.tensor(2.0) for layer in layers}, path)
    half = paint(editor, people(1), reference_image=references(1), reference_scale=0.4)

    editor.load_reference_adapter(tmp_path)  # α/rank = 2/4

    found = paint(editor, people(1), reference_image=references(1), reference_scale=0.8)
    assert (found - half).abs().max() <= 1e-4
