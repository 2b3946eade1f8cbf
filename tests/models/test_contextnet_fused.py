"""The encoder's training forward through kernels against PyTorch's path, in float64."""

import kernels
import pytest
import references
import torch
import torch.nn.functional as F

from asrlib.models import contextnet
from asrlib.models.contextnet import BlockConfig, ContextNetEncoder

pytest.importorskip("triton")
pytestmark = [*kernels.RUN, pytest.mark.usefixtures("one_tile")]

BLOCKS = [
    BlockConfig(8, layers=1, residual=False),
    BlockConfig(8, layers=2, stride=2),
    BlockConfig(12, layers=1, kernel=4, padding="causal", se="causal"),
    BlockConfig(12, layers=1, stride=2, se="none", activation="relu"),
    BlockConfig(16, layers=1, residual=False, se=16),
]


@pytest.fixture
def one_tile(monkeypatch):
    """Per utterance: the interpreter takes as long for each program as for a small tile's numbers."""
    from asrlib.models.kernels import block_end, depthwise, norm_depthwise, tiles

    for module in tiles, depthwise, norm_depthwise, block_end:
        for name in ("ROWS", "CHANNELS", "ROWS_BACK", "LONG", "NARROW", "PARTS"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, 16)
    torch.manual_seed(0)


def encoders(variant="paper", blocks=BLOCKS, count=2):
    """Encoders of the same weights, in training."""
    built = [
        ContextNetEncoder(5, blocks, variant=variant).to(kernels.DEVICE, torch.float64) for _ in range(count)
    ]
    for encoder in built:
        encoder.load_state_dict(built[0].state_dict())
    return [encoder.train() for encoder in built]


def without_kernels(monkeypatch):
    monkeypatch.setattr(contextnet, "can_fuse", lambda *_: False)


def step(encoder, features, lengths, steps=1):
    """Output, its lengths, gradients of features and weights, and running statistics, after some steps."""
    for _ in range(steps):
        encoder.zero_grad()
        x = features.clone().requires_grad_()
        out, frames = encoder(x, lengths)
        torch.manual_seed(1)
        out.backward(torch.randn_like(out))
    gradients = {name: p.grad for name, p in encoder.named_parameters()}
    return out.detach(), frames, x.grad, gradients, dict(encoder.named_buffers())


@pytest.mark.parametrize(
    "variant, lengths", [("paper", [13, 6]), ("tensorflowasr", [13, 13]), ("tensorflowasr-2021", [3, 13])]
)
def test_same_numbers(monkeypatch, variant, lengths):
    """Frames, gradients and running statistics; what lies in the padding of the features is not read."""
    lengths = torch.tensor(lengths, device=kernels.DEVICE)
    features = references.draw(2, 13, 5)
    beyond = torch.arange(13, device=kernels.DEVICE) >= lengths[:, None]
    fused, plain = encoders(variant, BLOCKS if variant == "paper" else BLOCKS[:2])
    found = step(fused, features.masked_fill(beyond[..., None], torch.nan), lengths)
    without_kernels(monkeypatch)
    torch.testing.assert_close(found, step(plain, features, lengths), **references.EXACT)


def test_several_steps_and_evaluation(monkeypatch):
    lengths = torch.tensor([13, 6], device=kernels.DEVICE)
    features = references.draw(2, 13, 5)
    fused, plain = encoders(blocks=BLOCKS[:2])
    found = step(fused, features, lengths, steps=2)
    without_kernels(monkeypatch)
    torch.testing.assert_close(found, step(plain, features, lengths, steps=2), **references.EXACT)
    torch.testing.assert_close(
        *(each.eval()(features, lengths) for each in (fused, plain)), **references.EXACT
    )


def test_the_kernels_are_what_ran(monkeypatch):
    from asrlib.models import contextnet_fused

    called = []
    monkeypatch.setattr(
        contextnet, "fused_forward", lambda *a: called.append(a) or contextnet_fused.fused_forward(*a)
    )
    (encoder,) = encoders(blocks=BLOCKS[:1], count=1)
    encoder(references.draw(1, 4, 5))
    encoder.eval()(references.draw(1, 4, 5))
    assert len(called) == 1


def test_checkpointed_blocks():
    """Blocks that run again for their gradients move their running statistics once."""
    lengths = torch.tensor([9, 5], device=kernels.DEVICE)
    features = references.draw(2, 9, 5)
    plain, checkpointed = encoders(blocks=BLOCKS[:2])
    checkpointed.checkpoint_blocks = True
    results = [step(encoder, features, lengths) for encoder in (plain, checkpointed)]
    torch.testing.assert_close(*results, **references.EXACT)


def test_weights_that_are_not_trained():
    """As when only the end of an encoder is: what is trained gets its gradient."""
    (encoder,) = encoders(blocks=BLOCKS[:2], count=1)
    encoder.blocks[1].se.down.requires_grad_(False)
    encoder.blocks[0].requires_grad_(False)
    encoder(references.draw(2, 8, 5), torch.tensor([8, 5], device=kernels.DEVICE))[0].sum().backward()
    given = {name for name, p in encoder.named_parameters() if p.grad is not None}
    assert given == {name for name, p in encoder.named_parameters() if p.requires_grad}


def test_padding_changes_nothing():
    (encoder,) = encoders(blocks=BLOCKS[:3], count=1)
    features, lengths = references.draw(2, 8, 5), torch.tensor([8, 6], device=kernels.DEVICE)
    padded = F.pad(features, (0, 0, 0, 8), value=5.0)
    with torch.no_grad():
        short, long = (encoder(x, lengths)[0] for x in (features, padded))
    torch.testing.assert_close(long[:, : short.shape[1]], short, **references.EXACT)
    assert (long[:, short.shape[1] :] == 0).all()


def test_an_activation_without_kernel_takes_the_other_way(monkeypatch):
    from asrlib.models.contextnet_fused import can_fuse

    (encoder,) = encoders(blocks=BLOCKS[:1], count=1)
    features = references.draw(1, 4, 5)
    assert can_fuse(encoder, features)
    encoder.blocks[0].activation = torch.sin
    assert not can_fuse(encoder, features)
    assert encoder(features)[0].isfinite().all()
