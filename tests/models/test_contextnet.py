"""ContextNet: shapes, receptive field, padding that changes nothing, chunks that give the whole."""

import copy

import pytest
import torch

from asrlib.errors import InputError
from asrlib.models.contextnet import VARIANTS, BlockConfig, ContextNetEncoder, standard_blocks
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.conv import output_length, receptive_field
from asrlib.models.layers.mask import frame_mask
from asrlib.models.parameters import count_parameters

CONTEXTS = [("same", "global"), ("causal", "causal"), ("same", 12), ("causal", "none")]
ALL = [(variant, padding, se) for variant in VARIANTS for padding, se in CONTEXTS]
LENGTHS = [21, 13, 1, 20]  # of features that are random everywhere: rubbish lies behind an utterance


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def small_blocks(se="global", padding="same", activation="swish"):
    shared = dict(se=se, padding=padding, activation=activation)
    return [
        BlockConfig(12, layers=1, residual=False, **shared),
        BlockConfig(16, layers=2, stride=2, kernel=3, **shared),
        BlockConfig(16, layers=3, **shared),
        BlockConfig(20, layers=1, stride=2, kernel=4, **shared),
        BlockConfig(20, layers=1, residual=False, **shared),
    ]


def small_encoder(variant="paper", **options):
    """With running statistics that are not those of fresh batch norms."""
    encoder = ContextNetEncoder(10, small_blocks(**options), 1.0, variant)
    for module in encoder.modules():
        if isinstance(module, MaskedBatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return encoder


def test_the_profile_counts_what_runs():
    encoder = ContextNetEncoder(
        6,
        [
            BlockConfig(8, layers=1, kernel=3, residual=False),
            BlockConfig(8, layers=2, kernel=3, stride=2),
        ],
        variant="paper",
    )
    profile = encoder.profile()
    assert profile["parameters"] == [sum(count_parameters(block)) for block in encoder.blocks]
    assert profile["field"] == [3, 7] and profile["rate"] == [1, 2]
    # C0: 3·6 + 6·8 a frame; C1: 3·8 + 8·8, the second half as often, as is the 8·8 of the shortcut
    assert profile["work"] == [100 * 66, 100 * 88 + 50 * 88 + 50 * 64]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_encoder_divides_the_frame_rate_by_8(variant):
    encoder = ContextNetEncoder(8, standard_blocks(), 0.0625, variant).eval()
    assert encoder.reduction == 8 and encoder.dim == 40
    for frames in (1, 8, 25):
        lengths = torch.tensor([frames, 1])
        out, out_lengths = encoder(torch.randn(2, frames, 8), lengths)
        assert out.shape == (2, -(-frames // 8), 40)
        assert out_lengths.tolist() == [-(-frames // 8), 1]


def test_the_longest_librispeech_utterance_gives_372_frames():
    frames = 2972
    for block in standard_blocks():
        frames = output_length(frames, block.stride)
    assert frames == 372


def test_an_se_window_is_given_in_input_frames():
    windows = [(2, 256), (4, 256), (1, 3)]
    encoder = ContextNetEncoder(4, [BlockConfig(8, stride=stride, se=se) for stride, se in windows])
    assert [block.se.context for block in encoder.blocks] == [128, 32, 1]


def test_no_se_means_no_gate():
    encoder = ContextNetEncoder(4, [BlockConfig(8, se="none")])
    assert encoder.blocks[0].se is None
    assert encoder.eval()(torch.randn(1, 6, 4))[0].shape == (1, 6, 8)


def test_alpha_scales_the_widths_and_cuts_off():
    encoder = ContextNetEncoder(4, [BlockConfig(30), BlockConfig(17)], 0.5)
    assert [block.channels for block in encoder.blocks] == [15, 8]


@pytest.mark.parametrize("variant, padding, se", ALL)
def test_an_utterance_alone_or_among_others_gives_the_same_frames(variant, padding, se):
    encoder = small_encoder(variant, padding=padding, se=se).eval()
    features, lengths = torch.randn(4, 21, 10), torch.tensor(LENGTHS)
    out, out_lengths = encoder(features, lengths)
    for row, length, found, count in zip(features, LENGTHS, out, out_lengths.tolist(), strict=True):
        alone, _ = encoder(row[None, :length])
        assert alone.shape[1] == count
        torch.testing.assert_close(found[:count], alone[0], atol=1e-5, rtol=0)
        assert not found[count:].any()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("variant, padding, se", ALL)
def test_more_padding_changes_no_frame_and_no_statistics(training, variant, padding, se):
    encoder = small_encoder(variant, padding=padding, se=se)
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    features, lengths = torch.randn(4, 21, 10), torch.tensor(LENGTHS)
    padded = torch.cat([features, torch.randn(4, 11, 10)], dim=1)
    found = []
    for x in (features, padded):
        encoder.load_state_dict(state)
        encoder.train(training).zero_grad()
        out, out_lengths = encoder(x, lengths)
        out.square().sum().backward()
        gradient = encoder.blocks[0].layers[0].conv.depthwise.grad.clone()
        found.append((out, encoder.blocks[1].shortcut_norm.running_var.clone(), gradient, out_lengths))
    (out, variance, gradient, counts), (out_padded, variance_padded, gradient_padded, counts_padded) = found
    assert torch.equal(counts, counts_padded)
    torch.testing.assert_close(out_padded[:, : out.shape[1]], out, atol=1e-5, rtol=1e-5)
    assert not out_padded[:, out.shape[1] :].any()
    torch.testing.assert_close(variance_padded, variance)
    torch.testing.assert_close(gradient_padded, gradient, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_utterances_of_one_length_need_no_mask(training):
    """The quick way without a mask is the way with one."""
    encoder = small_encoder().train(training)
    x, lengths = torch.randn(3, 16, 10), torch.tensor([16, 16, 16])
    y, masked = encoder(x, lengths)[0], x
    for block in encoder.blocks:
        mask = frame_mask(lengths, masked.shape[1])
        lengths = output_length(lengths, block.stride)
        masked = block(masked, mask, frame_mask(lengths, output_length(masked.shape[1], block.stride)))
    torch.testing.assert_close(y, masked, atol=1e-5, rtol=1e-5)


def test_no_lengths_means_all_frames():
    encoder, x = small_encoder().eval(), torch.randn(2, 17, 10)
    torch.testing.assert_close(encoder(x)[0], encoder(x, torch.tensor([17, 17]))[0])
    assert encoder(x)[1].tolist() == [5, 5]


@pytest.mark.parametrize("variant", VARIANTS)
def test_causal_padding_and_causal_se_never_look_ahead(variant):
    encoder = small_encoder(variant, padding="causal", se="causal").double().eval()
    x = torch.randn(1, 40, 10, dtype=torch.float64)
    changed = x.clone()
    changed[:, 22:] += 1.0
    y, z = encoder(x)[0], encoder(changed)[0]
    torch.testing.assert_close(y[:, :6], z[:, :6])  # output frame n is made at input frame 4 n
    assert ((y - z)[:, 6:].abs().amax(2) > 1e-9).all()


def test_global_se_makes_a_causal_convolution_look_ahead():
    encoder = small_encoder(padding="causal", se="global").double().eval()
    x = torch.randn(1, 40, 10, dtype=torch.float64)
    changed = x.clone()
    changed[:, 22:] += 1.0
    y, z = encoder(x)[0], encoder(changed)[0]
    assert ((y - z).abs().amax(2) > 1e-9).all()


@pytest.mark.parametrize("variant, expected", [("tensorflowasr", 2381), ("paper", 1937)])
def test_the_receptive_field_of_the_standard_encoder_is_what_gradients_reach(variant, expected):
    blocks = standard_blocks(activation="linear", se="none")
    layers, extra = [], [] if variant == "paper" else [(5, 1)]
    for block in blocks:
        layers += (block.layers - 1) * [(5, 1)] + [(5, block.stride)] + extra
    assert receptive_field(layers)[-1] == (expected, 8)

    # one or two channels, and all weights positive: no path from input to output cancels another
    encoder = ContextNetEncoder(1, blocks, 1 / 256, variant).double().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.abs_().clamp_(min=0.1)
    x = torch.zeros(1, 2 * expected + 1, 1, dtype=torch.float64, requires_grad=True)
    y = encoder(x)[0]
    middle = y.shape[1] // 2
    (gradient,) = torch.autograd.grad(y[0, middle, 0], x)
    reached = gradient[0, :, 0].nonzero()[:, 0]
    assert int(reached[-1] - reached[0]) + 1 == expected


def test_a_recorded_graph_masks_by_the_lengths_that_it_is_given(unchecked_shapes):
    """Recorded with utterances of one length, which eagerly need no mask."""
    encoder, x = small_encoder().eval(), torch.randn(3, 21, 10)
    recorded = torch.export.export(encoder, (x, torch.tensor([21, 21, 21]))).module()
    for lengths in (torch.tensor([21, 21, 21]), torch.tensor([21, 13, 1])):
        found, counts = recorded(x, lengths)
        expected, expected_counts = encoder(x, lengths)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(counts, expected_counts)


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_give_the_frames_of_the_whole(variant):
    encoder = small_encoder(variant, padding="causal", se="causal").double().eval()
    assert encoder.streaming_obstacles() == []
    x = torch.randn(2, 33, 10, dtype=torch.float64)
    state, seen, found = encoder.initial_state(2), 0, []
    for chunk in x.split([1, 0, 6, 2, 24], dim=1):
        out, state = encoder.step(chunk, state, seen % encoder.reduction)
        found.append(out)
        seen += chunk.shape[1]
    torch.testing.assert_close(torch.cat(found, dim=1), encoder(x)[0])


def test_what_keeps_it_from_streaming_is_named_once():
    found = ContextNetEncoder(4, small_blocks(se="global", padding="causal")).streaming_obstacles()
    assert found[0] == "encoder.blocks[0].se is global (use causal or none)" and len(found) == 5
    described = ContextNetEncoder(4, small_blocks(se="causal"), keys=["encoder"] * 5).streaming_obstacles()
    assert described == ["encoder.padding is same (use causal)"]


@pytest.mark.parametrize(
    "block, message",
    [
        (BlockConfig(-4), "-4 filters"),
        (BlockConfig(8, layers=0), "0 layers"),
        (BlockConfig(8, stride=0), "stride of a convolution is 0"),
        (BlockConfig(8, kernel=0), "kernel of a convolution is 0"),
        (BlockConfig(8, activation="gelu"), "activation is 'gelu'; use one of linear, relu"),
        (BlockConfig(8, padding="valid"), "padding is 'valid'"),
        (BlockConfig(8, se="locale"), "SE context is 'locale'"),
        (BlockConfig(8, se=-3), "SE context is -3"),
        (BlockConfig(8, se=0), "SE context is 0"),
    ],
)
def test_impossible_blocks_are_refused(block, message):
    with pytest.raises(InputError, match=message):
        ContextNetEncoder(4, [block])


def test_impossible_encoders_are_refused():
    with pytest.raises(InputError, match="variant is 'keras'; use one of paper, tensorflowasr"):
        ContextNetEncoder(4, small_blocks(), 1.0, "keras")
    with pytest.raises(InputError, match="no blocks"):
        ContextNetEncoder(4, [])
    with pytest.raises(InputError, match="alpha -1.0"):
        ContextNetEncoder(4, small_blocks(), -1.0)
    with pytest.raises(InputError, match="channels of a convolution is 0"):
        ContextNetEncoder(4, small_blocks(), 0.01)


def test_checkpointed_blocks_give_the_same_gradients_and_update_statistics_once():
    """Bit for bit, over two steps, with padding and without; nothing is done where nothing is trained."""
    torch.manual_seed(0)
    rows = [BlockConfig(16, layers=1, residual=False), BlockConfig(16, layers=2, stride=2), BlockConfig(16)]
    plain = ContextNetEncoder(10, rows, variant="tensorflowasr").train()
    saving = copy.deepcopy(plain)
    saving.checkpoint_blocks = True
    for lengths in ([41, 30, 7], [41, 41, 41]):
        features = torch.randn(3, 41, 10)
        for encoder in (plain, saving):
            encoder.zero_grad()
            encoder(features, torch.tensor(lengths))[0].square().sum().backward()
        for (name, a), b in zip(plain.named_parameters(), saving.parameters(), strict=True):
            assert a.grad.abs().max() > 0 and torch.equal(a.grad, b.grad), name
    state, same = plain.state_dict(), saving.state_dict()
    assert all(torch.equal(state[name], same[name]) for name in state)
    assert state["blocks.2.layers.0.norm.num_batches_tracked"] == 2
    with torch.no_grad():
        assert torch.equal(plain.eval()(features)[0], saving.eval()(features)[0])


def test_checkpointed_blocks_keep_a_fraction_of_the_activations():
    """What autograd holds between the two passes, counted in bytes by its own hooks."""

    def held(encoder):
        kept = {}

        def pack(x):
            kept[x.untyped_storage().data_ptr()] = x
            return x

        def note(_, inputs):
            pack(inputs[0])

        for block in encoder.blocks:  # their inputs are held beside what the hooks see
            block.register_forward_pre_hook(note)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            out = encoder(torch.zeros(2, 400, 80))[0]
        weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
        assert out.requires_grad
        return sum(x.untyped_storage().nbytes() for place, x in kept.items() if place not in weights)

    encoder = ContextNetEncoder(80, standard_blocks(), alpha=0.25).train()
    whole = held(encoder)
    encoder.checkpoint_blocks = True
    assert held(encoder) < whole / 5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("padding, se", CONTEXTS)
def test_no_frame_depends_on_features_further_away_than_its_reach(variant, padding, se):
    encoder = small_encoder(variant, padding=padding, se=se).eval()
    if se in ("global", "causal"):
        assert encoder.reach is None
        return
    x = torch.randn(1, 500, 10, requires_grad=True)
    encoder(x)[0][0, 60].sum().backward()
    influence = x.grad.abs().sum((0, 2))
    # a window's mean is a difference of two running sums, whose gradients before it cancel to rounding errors
    seen = (influence > 1e-6 * influence.max()).nonzero().flatten() - 60 * encoder.reduction
    assert -encoder.reach <= int(seen.min()) < -encoder.reach // 4 and int(seen.max()) <= encoder.reach
