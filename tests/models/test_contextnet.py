"""ContextNet: parameter counts to the last one, shapes, receptive field, and padding that changes nothing."""

import copy

import pytest
import torch

from asrlib.config.parse import load_config
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.contextnet import VARIANTS, Block, BlockConfig, ContextNetEncoder, standard_blocks
from asrlib.models.joint import JointNetwork
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.conv import output_length, receptive_field
from asrlib.models.layers.mask import frame_mask
from asrlib.models.parameters import count_parameters
from asrlib.models.prediction import PredictionNetwork


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


# ---- parameter counts --------------------------------------------------------------------------------------


def sep_conv(cin, cout, k=5):
    return cin * k + cin * cout + cout


def block_count(cin, cout, layers, residual, variant, k=5):
    """(trainable, non-trainable), counted on paper."""
    tensorflowasr = variant != "paper"
    norms = layers + tensorflowasr + residual
    bottleneck = cout // 8
    trainable = sep_conv(cin, cout) + (layers - 1) * sep_conv(cout, cout) + norms * 2 * cout
    trainable += 2 * cout * bottleneck + bottleneck + cout
    if tensorflowasr:
        trainable += sep_conv(cout, cout)
    if residual:
        trainable += sep_conv(cin, cout) if tensorflowasr else cin * cout + cout
    return trainable, norms * 2 * cout


def standard_counts(alpha, variant):
    """(trainable, non-trainable) of C0 … C22, from the paper's table 1."""
    narrow, wide, last = (int(filters * alpha) for filters in (256, 512, 640))
    counts = [block_count(80, narrow, 1, False, variant)]
    counts += 10 * [block_count(narrow, narrow, 5, True, variant)]
    counts += [block_count(narrow, wide, 5, True, variant)]
    counts += 10 * [block_count(wide, wide, 5, True, variant)]
    return [*counts, block_count(wide, last, 1, False, variant)]


def standard_encoder(alpha, variant, **options):
    with torch.device("meta"):  # shapes alone: ContextNet-L at once
        return ContextNetEncoder(80, standard_blocks(**options), alpha, variant)


def test_tensorflowasr_blocks_have_the_counts_of_its_summary():
    counts = [count_parameters(block) for block in standard_encoder(0.5, "tensorflowasr").blocks]
    assert counts[0] == (32_672, 512)
    assert counts[1:11] == 10 * [(126_096, 1_792)]
    assert counts[11] == (422_944, 3_584)
    assert counts[12:22] == 10 * [(489_760, 3_584)]
    assert counts[22] == (215_080, 1_280)
    assert [sum(counts[c]) for c in (0, 1, 11, 12, 22)] == [33_184, 127_888, 426_528, 493_344, 216_360]


def test_tensorflowasr_encoder_has_the_counts_of_its_summary():
    assert count_parameters(standard_encoder(0.5, "tensorflowasr")) == (6_829_256, 59_136)
    assert 6_829_256 + 59_136 == 6_888_392


@pytest.mark.parametrize("alpha, total", [(0.5, 10_830_256), (1.0, 31_040_488), (2.0, 110_936_152)])
def test_tensorflowasr_totals_at_each_alpha(alpha, total):
    with torch.device("meta"):
        encoder = standard_encoder(alpha, "tensorflowasr")
        parts = encoder, PredictionNetwork(1000, 0, 640, 512), JointNetwork(encoder.dim, 512, 512, 1000)
    assert sum(sum(count_parameters(part)) for part in parts) == total


@pytest.mark.parametrize(
    "name, millions", [("contextnet-s", 11.0), ("contextnet-m", 28.2), ("contextnet-l", 96.0)]
)
def test_the_papers_models_by_their_names(name, millions):
    config = load_config(name)
    with torch.device("meta"):
        model = build_model(config)
    assert round(sum(count_parameters(model)) / 1e6, 1) == millions


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_every_block_has_the_count_of_the_formulas(variant, alpha):
    counts = [count_parameters(block) for block in standard_encoder(alpha, variant).blocks]
    assert counts == standard_counts(alpha, variant)


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


# ---- shapes ------------------------------------------------------------------------------------------------


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


def test_downsampling_halves_at_c3_c7_c14_or_c3_alone():
    for downsampling, halved in (("progressive", [3, 7, 14]), ("2x", [3])):
        strides = [block.stride for block in standard_blocks(downsampling=downsampling)]
        assert strides == [2 if index in halved else 1 for index in range(23)]
    with pytest.raises(InputError, match="downsampling is '4x'; use one of progressive, 2x"):
        standard_blocks(downsampling="4x")


# ---- a block, by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("residual", [True, False])
def test_a_block_is_what_its_description_says(variant, residual):
    block = Block(6, BlockConfig(16, layers=2, stride=2, residual=residual), 1.0, variant, 2).eval()
    swish = torch.nn.functional.silu
    x = torch.randn(2, 9, 6)
    y = x
    for layer in block.layers:
        y = swish(layer.norm(layer.conv(y), None))
    assert [layer.conv.stride for layer in block.layers] == ([1, 2] if variant == "paper" else [1, 2, 1])
    z = block.se.up(swish(block.se.down(y.mean(1, keepdim=True))))
    y = y * torch.sigmoid(swish(z) if variant == "tensorflowasr-2021" else z)
    if residual:
        y = swish(y + block.shortcut_norm(block.shortcut(x), None))
    elif variant != "paper":
        y = swish(y)
    torch.testing.assert_close(block(x, None, None), y)


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


# ---- padding -----------------------------------------------------------------------------------------------

CONTEXTS = [("same", "global"), ("causal", "causal"), ("same", 12), ("causal", "none")]
ALL = [(variant, padding, se) for variant in VARIANTS for padding, se in CONTEXTS]
LENGTHS = [21, 13, 1, 20]  # of features that are random everywhere: rubbish lies behind an utterance


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


# ---- what a frame can see ----------------------------------------------------------------------------------


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


# ---- what cannot be built ----------------------------------------------------------------------------------


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
