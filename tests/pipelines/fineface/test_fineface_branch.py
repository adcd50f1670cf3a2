import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from pipelines.fineface.branch import au_branch


@pytest.fixture
def blocks() -> nn.ModuleList:
    torch.manual_seed(0)
    return nn.ModuleList([BasicTransformerBlock(8, 2, 4, cross_attention_dim=6)])


def run(block: nn.Module) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, 5, 8, generator=draw)
    text = torch.randn(2, 3, 6, generator=draw)
    with torch.no_grad():
        return block(hidden, encoder_hidden_states=text)


def with_branch(blocks: nn.ModuleList, block: nn.Module, vector: Tensor | None) -> Tensor:
    with au_branch(blocks, {} if vector is None else {"0.attn2": vector}):
        return run(block)


def test_constant_passes_through_to_out(blocks: nn.ModuleList) -> None:
    attention = blocks[0].attn2
    hidden, text = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    vector = torch.randn(2, 1, 8)

    with au_branch(blocks, {"0.attn2": vector}):
        found = attention(hidden, text)

    expected = attention(hidden, text) + vector @ attention.to_out[0].weight.T
    torch.testing.assert_close(found, expected)


def test_hook_goes_when_a_later_layer_is_missing(blocks: nn.ModuleList) -> None:
    vectors = dict.fromkeys(["0.attn2", "1.attn2"], torch.zeros(2, 1, 8))

    with pytest.raises(AttributeError), au_branch(blocks, vectors):
        pass

    assert not blocks[0].attn2.to_out[0]._forward_pre_hooks


def test_compiled_graphs_follow_the_branch(blocks: nn.ModuleList) -> None:
    smile, frown = torch.randn(2, 2, 1, 8)
    asked = [None, smile, frown, None]
    compiled = torch.compile(blocks[0], backend="eager")

    found = [with_branch(blocks, compiled, vector) for vector in asked]

    expected = [with_branch(blocks, blocks[0], vector) for vector in asked]
    torch.testing.assert_close(found, expected)
    torch.compiler.reset()
