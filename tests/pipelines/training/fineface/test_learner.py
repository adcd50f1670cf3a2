"""What learns, what stays, and that the pipeline paints with what was learned."""

import copy
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny_fineface import make_sd
from torch import Tensor

from pipelines.diffusion.lora import read_lora
from pipelines.fineface import AUAdapter, FineFacePipeline
from pipelines.fineface.adapter import ENCODERS
from pipelines.fineface.branch import au_branch
from pipelines.training.data.config import ProceduralData
from pipelines.training.diffusion.base import FrozenBase, load_base
from pipelines.training.diffusion.config import AdapterCycle, AdapterExport
from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.fineface.config import FineFaceTrainingConfig, Smoothing
from pipelines.training.fineface.learner import FineFaceLearner, untrained_adapter
from pipelines.training.fineface.train import export_adapter
from synthgen.errors import TrainingError, WeightsError

CPU = torch.device("cpu")
DATA = ProceduralData.model_validate(
    {"source": "procedural", "expressions": [{"share": 1, "rate": 0.3}]}
)
ATTENTION = "up_blocks.1.attentions.0.transformer_blocks.0.attn2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(folder: Path) -> FrozenBase:
    return load_base(folder, CPU, torch.float32, "sdpa")


def config(**changes: object) -> FineFaceTrainingConfig:
    settings = {
        "seed": 1,
        "cycles": (AdapterCycle(steps=100, learning_rate=0.01),),
        "batch_size": 4,
        "data": DATA,
        "examples": 4,
        "base": "unused",
        "rank": 2,
        "ema_decay": 0.0,
    }
    return FineFaceTrainingConfig(**{**settings, **changes})


@pytest.fixture
def batch() -> LatentBatch:
    draw = torch.Generator().manual_seed(7)
    return LatentBatch(
        latents=torch.randn(4, 4, 16, 16, generator=draw),
        input_ids=torch.randint(0, 70, (4, 20), generator=draw),
        aus=5 * torch.rand(4, 12, generator=draw),
    )


def test_it_begins_with_copies_of_the_text_projections_and_no_lora(base: FrozenBase) -> None:
    adapter = untrained_adapter(base.unet, "res_mlp64", 8, seed=0)
    state = adapter.state_dict()
    for letter in "kv":
        text = base.unet.get_parameter(f"{ATTENTION}.to_{letter}.weight")
        assert torch.equal(state[f"{ATTENTION}.processor.au_to_{letter}.weight"], text)
    down = torch.cat([v.flatten() for k, v in state.items() if k.endswith("lora_A.weight")])
    assert down.std().item() == pytest.approx(1 / 8, rel=0.05)
    assert not any(v.any() for k, v in state.items() if k.endswith("lora_B.weight"))
    sites = {name.split(".lora_")[0] for name in state if name.startswith("unet.")}
    assert len(sites) == 4 * sum(1 for n, _ in base.unet.named_modules() if n[-5:-1] == "attn")


def test_only_encoder_values_and_lora_learn(base: FrozenBase, batch: LatentBatch) -> None:
    learner = FineFaceLearner(config(), base, CPU)
    frozen = copy.deepcopy([base.unet.state_dict(), base.text_encoder.state_dict()])
    start = copy.deepcopy(learner.network.state_dict())
    hooks = {name: len(m._forward_hooks) for name, m in base.unet.named_modules()}

    for _ in range(2):  # at the first step B is zero, and A has no gradient
        learner.learn(batch)

    now = [base.unet.state_dict(), base.text_encoder.state_dict()]
    assert all(
        torch.equal(one[name], other[name])
        for one, other in zip(frozen, now, strict=True)
        for name in one
    )
    changed = {k for k, v in learner.network.state_dict().items() if not torch.equal(v, start[k])}
    assert changed == {name for name in start if "au_to_k" not in name}
    assert {name: len(m._forward_hooks) for name, m in base.unet.named_modules()} == hooks


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_encoder_overfits_a_batch(base: FrozenBase, batch: LatentBatch, kind: str) -> None:
    learner = FineFaceLearner(
        config(encoder=kind, smoothing=Smoothing(variance=0, rounding=0)), base, CPU
    )
    before = loss_at(learner, batch)
    for _ in range(8):
        learner.learn(batch)
    assert loss_at(learner, batch) < before


def loss_at(learner: FineFaceLearner, batch: LatentBatch) -> float:
    losses = []
    for seed in range(4):
        torch.manual_seed(seed)
        with torch.no_grad():
            losses.append(float(learner.losses(batch)["loss"]))
    return sum(losses) / len(losses)


def test_the_pipeline_computes_what_the_training_did(
    base: FrozenBase, folder: Path, batch: LatentBatch, tmp_path: Path
) -> None:
    settings = config(export={"dtype": "float32"})
    learner = FineFaceLearner(settings, base, CPU)
    for _ in range(3):
        learner.learn(batch)
    timesteps = torch.tensor([1, 300, 600, 999])
    with torch.no_grad():
        trained = learner.predict(batch.latents, timesteps, batch.input_ids, batch.aus)

    pipeline = FineFacePipeline.from_pretrained(folder)
    pipeline.load_au_adapter(export_adapter(learner.average, tmp_path, settings.export, {}))

    with torch.no_grad(), au_branch(pipeline.unet, pipeline.au_adapter(batch.aus)):
        text = pipeline.text_encoder(batch.input_ids)[0]
        loaded = pipeline.unet(batch.latents, timesteps, text).sample
    torch.testing.assert_close(loaded, trained, rtol=0, atol=1e-4)
    plain = base.unet(batch.latents, timesteps, text).sample
    assert (plain - trained).abs().max() > 0.05


def test_attention_is_the_same_written_out(
    base: FrozenBase, folder: Path, batch: LatentBatch
) -> None:
    written_out = load_base(folder, CPU, torch.float32, "explicit")
    losses = [loss_at(FineFaceLearner(config(), b, CPU), batch) for b in (base, written_out)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_half_precision_learns_alike(base: FrozenBase, folder: Path, batch: LatentBatch) -> None:
    half = load_base(folder, CPU, torch.bfloat16, "sdpa")
    learner = FineFaceLearner(config(dtype="bfloat16"), half, CPU)
    assert learner.learn(batch)["loss"] == pytest.approx(
        FineFaceLearner(config(), base, CPU).learn(batch)["loss"], rel=0.02
    )
    assert {p.dtype for p in learner.network.parameters()} == {torch.float32}
    assert {p.dtype for p in half.unet.parameters()} == {torch.bfloat16}


def test_parts_of_a_batch_add_up(base: FrozenBase, batch: LatentBatch) -> None:
    learner = FineFaceLearner(config(accumulate=2), base, CPU)
    parts = learner.parts(batch)
    assert [len(part.latents) for part in parts] == [2, 2]
    assert torch.equal(torch.cat([part.aus for part in parts]), batch.aus)


def test_a_state_brings_back_every_bit(base: FrozenBase, batch: LatentBatch) -> None:
    first = FineFaceLearner(config(), base, CPU)
    first.learn(batch)
    kept = copy.deepcopy(first.state())
    second = FineFaceLearner(config(seed=1), base, CPU)
    second.restore(kept)
    assert first.learn(batch) == second.learn(batch)
    assert all(
        torch.equal(v, second.network.state_dict()[k])
        for k, v in first.network.state_dict().items()
    )


def test_a_loss_that_is_not_finite_ends_the_training(base: FrozenBase, batch: LatentBatch) -> None:
    learner = FineFaceLearner(config(), base, CPU)
    spoilt = batch._replace(latents=torch.full_like(batch.latents, float("nan")))
    with pytest.raises(TrainingError, match="step 0: the loss is not finite"):
        learner.learn(spoilt)


def test_a_prediction_that_is_not_known_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "sd"
    other.mkdir()
    for part in folder.iterdir():
        if part.name != "scheduler":
            (other / part.name).symlink_to(part)
    (other / "scheduler").mkdir()
    path = other / "scheduler" / "scheduler_config.json"
    text = (folder / "scheduler" / "scheduler_config.json").read_text()
    path.write_text(text.replace('"epsilon"', '"sample"'))
    with pytest.raises(WeightsError) as caught:
        load_base(other, CPU, torch.float32, "sdpa")
    assert str(caught.value) == (
        f"{path}: prediction_type is 'sample'; training knows epsilon, v_prediction"
    )


def test_a_velocity_base_learns_velocities(
    base: FrozenBase, batch: LatentBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loss_of_target(base, batch, velocity=False)
    assert loss_at_zero_prediction(base, batch, monkeypatch) == pytest.approx(expected)
    base.scheduler.register_to_config(prediction_type="v_prediction")
    expected = loss_of_target(base, batch, velocity=True)
    assert loss_at_zero_prediction(base, batch, monkeypatch) == pytest.approx(expected)


def loss_at_zero_prediction(
    base: FrozenBase, batch: LatentBatch, monkeypatch: pytest.MonkeyPatch
) -> float:
    learner = FineFaceLearner(config(), base, CPU)
    monkeypatch.setattr(learner, "predict", lambda noisy, *_: torch.zeros_like(noisy))
    torch.manual_seed(0)
    return float(learner.losses(batch)["loss"])


def loss_of_target(base: FrozenBase, batch: LatentBatch, velocity: bool) -> float:
    torch.manual_seed(0)
    noise = torch.randn(batch.latents.shape)
    timesteps = (torch.rand(4) * 1000).long()
    kept = base.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
    target: Tensor = noise
    if velocity:
        target = kept.sqrt() * noise - (1 - kept).sqrt() * batch.latents
    return float(target.square().mean())


def test_recomputed_blocks_learn_the_same_bits(base: FrozenBase, batch: LatentBatch) -> None:
    plain = FineFaceLearner(config(lora_alpha=8.0), base, CPU)
    told = [plain.learn(batch) for _ in range(2)]
    again = FineFaceLearner(config(lora_alpha=8.0, gradient_checkpointing=True), base, CPU)
    calls: list[str] = []
    block = base.unet.down_blocks[0].attentions[0].transformer_blocks[0]
    block.register_forward_pre_hook(lambda *_: calls.append("block"))
    assert [again.learn(batch) for _ in range(2)] == told
    assert len(calls) == 2 * 2  # once on the way there and once on the way back
    state = plain.network.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.network.state_dict().items())


def test_the_file_tells_alpha_and_the_pipeline_paints_with_it(
    base: FrozenBase, folder: Path, batch: LatentBatch, tmp_path: Path
) -> None:
    learner = FineFaceLearner(config(lora_alpha=6.0), base, CPU)
    for _ in range(3):
        learner.learn(batch)
    export = AdapterExport(dtype="float32")
    published = export_adapter(learner.average, tmp_path, export, {}, 6.0)
    learner.network.load_state_dict(learner.average.state_dict())
    with torch.no_grad():
        predicted = learner.predict(
            batch.latents, torch.full((4,), 500), batch.input_ids, batch.aus
        )
    _, factors = read_lora(published / "pytorch_lora_weights.safetensors")
    assert set(factors.values()) == {3.0}
    pipeline = FineFacePipeline.from_pretrained(folder)
    pipeline.load_au_adapter(published)
    vectors = learner.network(batch.aus)
    text = base.text_encoder(batch.input_ids).last_hidden_state
    with torch.no_grad(), au_branch(pipeline.unet, vectors):
        painted = pipeline.unet(batch.latents, torch.full((4,), 500), text).sample
    torch.testing.assert_close(painted, predicted, rtol=1e-4, atol=1e-5)
    component = AUAdapter.from_pretrained(tmp_path / "au_adapter")
    for name, value in pipeline.au_adapter.lora_state().items():
        torch.testing.assert_close(component.lora_state()[name], value)
    public = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    public.load_lora_weights(published, weight_name="pytorch_lora_weights.safetensors")
    taken = next(iter(public.unet.peft_config.values()))
    assert (taken.r, taken.lora_alpha) == (2, 6.0)


def test_an_adapter_that_begins_from_another_counts_it_as_often(
    base: FrozenBase, folder: Path, batch: LatentBatch, tmp_path: Path
) -> None:
    learner = FineFaceLearner(config(), base, CPU)
    for _ in range(3):
        learner.learn(batch)
    published = export_adapter(learner.average, tmp_path, AdapterExport(dtype="float32"), {})
    begun = FineFaceLearner(config(init=str(published), lora_alpha=8.0), base, CPU)
    learner.network.load_state_dict(learner.average.state_dict())
    given = (batch.latents, torch.full((4,), 500), batch.input_ids, batch.aus)
    with torch.no_grad():
        torch.testing.assert_close(begun.predict(*given), learner.predict(*given))
