"""The Conformer: the published sizes, padding, positions, windows, self-conditioning, recomputed layers."""

import copy

import conformers
import pytest
import torch
import yaml
from conformers import MELS, SMALL, V, small

from asrlib.config.parse import load_config, parse_config
from asrlib.errors import InputError
from asrlib.models.build import build_model
from asrlib.models.conformer import ConformerConfig
from asrlib.models.layers.batch_norm import MaskedBatchNorm
from asrlib.models.layers.conv import output_length
from asrlib.models.parameters import count_parameters

LENGTHS = [75, 41, 1, 64]
PUBLISHED = {
    "9l-768d": 130_669_568,
    "6l-768d": 89_914_112,
    "3l-2048d": 311_730_176,
    "3l-768d": 49_158_656,
    "12l-256d": 21_061_376,
    "6l-256d": 11_979_008,
}


def features(frames=75, batch=4):
    return torch.randn(batch, frames, MELS, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name, count", PUBLISHED.items())
def test_published_sizes(name, count):
    with torch.device("meta"):
        model = build_model(load_config(f"long-context-{name}"))
    assert count_parameters(model)[0] == count


@pytest.mark.parametrize("heads, head_dim", [(12, 64), (24, 32)])
def test_the_other_heads_have_as_many_weights(heads, head_dim):
    config = load_config("long-context-6l-768d")
    config.encoder.heads, config.encoder.head_dim = heads, head_dim
    with torch.device("meta"):
        assert count_parameters(build_model(config))[0] == PUBLISHED["6l-768d"]


@pytest.mark.parametrize(
    "options", [{}, {"attention_window": 2}, {"norm": "batch_norm"}, {"norm_twice": True}]
)
@pytest.mark.parametrize("positions", ["rotary", "fourier", "none"])
def test_padding_changes_nothing(positions, options):
    encoder, head = small(positions=positions, **options)
    x, lengths = features(), torch.tensor(LENGTHS)
    with torch.no_grad():
        together, counts = encoder(x, lengths)
        assert counts.tolist() == [output_length(n, 8) for n in LENGTHS]
        for row, (length, count) in enumerate(zip(LENGTHS, counts.tolist(), strict=True)):
            alone, _ = encoder(x[row : row + 1, :length])
            assert alone.shape == (1, count, encoder.dim)
            assert (head(alone)[0] - head(together[row, :count])).abs().max() <= 1e-5
            assert not together[row, count:].any()


def test_padding_that_leaks_is_a_choice():
    encoder, _ = small(mask_subsampling=False)
    x = features(batch=1)
    with torch.no_grad():
        alone, padded = encoder(x[:, :41])[0], encoder(x, torch.tensor([41]))[0]
    assert (alone[0] - padded[0, :6]).abs().max() > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_gradient(training):
    encoder, _ = small()
    encoder.train(training)
    x, lengths, gradients = features(), torch.tensor(LENGTHS), []
    for rubbish in (0.0, 9.0):
        twin = copy.deepcopy(encoder)
        padded = x.clone()
        for row, length in enumerate(LENGTHS):
            padded[row, length:] = rubbish
        twin(padded, lengths)[0].square().sum().backward()
        gradients.append([p.grad for p in twin.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)


def test_positions_matter_and_without_them_only_convolutions_know_the_order():
    x = features(frames=64, batch=1)
    swapped = torch.cat([x[:, 32:], x[:, :32]], dim=1)
    for positions, alike in (("none", True), ("rotary", False), ("fourier", False)):
        encoder, _ = small(positions=positions, kernel=1, self_conditioning=False)
        encoder.subsampling = _Every8th(encoder.subsampling.linear)
        with torch.no_grad():
            first, second = (encoder(each)[0] for each in (x, swapped))
        assert torch.allclose(second[:, :4], first[:, 4:], atol=1e-5) == alike


class _Every8th(torch.nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.linear = torch.nn.Linear(MELS, linear.out_features)

    def forward(self, features, lengths):
        return self.linear(features[:, ::8])


def test_the_attention_window_can_be_set_later_and_is_exact():
    windowed, _ = small(attention_window=2)
    encoder, _ = small()
    with torch.no_grad():
        whole = encoder(features())[0]
        encoder.set_attention_window(2)
        torch.testing.assert_close(encoder(features())[0], windowed(features())[0])
        assert not torch.allclose(encoder(features())[0], whole, atol=1e-3)
        encoder.set_attention_window(None)
        torch.testing.assert_close(encoder(features())[0], whole)


def test_how_far_a_window_reaches():
    encoder, _ = small(attention_window=3)
    assert encoder.reach == 3 * 8 * (3 + 2) + 7
    x = features(frames=600, batch=1).requires_grad_()
    encoder(x)[0][0, 37].sum().backward()
    seen = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (8 * 37 - encoder.reach, 8 * 37 + encoder.reach)
    assert small()[0].reach is None and small(attention_window=3, positions="fourier")[0].reach is None


@pytest.mark.parametrize("positions", ["rotary", "none"])
def test_pieces_that_overlap_by_the_reach_give_the_whole(positions):
    encoder, _ = small(attention_window=2, positions=positions)
    x, step = features(frames=800, batch=1), 80
    margin = 8 * output_length(encoder.reach, 8)
    with torch.no_grad():
        whole, pieces = encoder(x)[0], []
        for start in range(0, 800, step):
            first = max(0, start - margin)
            out = encoder(x[:, first : start + step + margin])[0]
            pieces.append(out[:, (start - first) // 8 :][:, : step // 8])
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-4, rtol=1e-4)


def test_the_way_back_between_layers_is_shared_and_by_hand():
    encoder, head = small(norm_twice=True)
    x = encoder.subsampling(features(), None)
    from asrlib.models.layers.positions import rotary_table

    table, log_probs = rotary_table(x.shape[1], 12, 1.5e6), []
    for number, layer in enumerate(encoder.layers):
        x = layer(x, rotary=table)
        if number < 2:
            normed = torch.nn.functional.layer_norm(x, (24,), head.norm.weight, head.norm.bias)
            probs = (normed @ head.linear.weight.T + head.linear.bias).softmax(-1)
            log_probs.append(probs.log())
            x = x + probs @ encoder.way_back.weight.T + encoder.way_back.bias
    out, _, intermediate = encoder.forward_with_intermediate(features())
    torch.testing.assert_close(out, head.norm(x))
    torch.testing.assert_close(intermediate, log_probs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(encoder(features())[0], out)


def test_without_self_conditioning_nothing_is_written_between_layers():
    encoder, _ = small(self_conditioning=False)
    assert encoder.way_back is None and not encoder.reads_ctc_head
    assert encoder.forward_with_intermediate(features())[2] == []


def test_the_heads_weights_are_the_models_alone():
    model = build_model(conformers.config(), V)
    names = [name for name in model.state_dict() if "head" in name]
    assert names == [
        "ctc_head.norm.weight",
        "ctc_head.norm.bias",
        "ctc_head.linear.weight",
        "ctc_head.linear.bias",
    ]
    twin = copy.deepcopy(model)
    assert twin.encoder._head[0] is twin.ctc_head and twin.ctc_head is not model.ctc_head


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("norm", ["batch_renorm", "batch_norm"])
def test_recomputing_layers_changes_neither_gradients_nor_statistics(norm, dropout):
    results = []
    for recompute in (False, True):
        model = build_model(
            conformers.config(
                encoder={"norm": norm, "dropout": dropout},
                training={"checkpoint_blocks": recompute, "intermediate_weight": 0.5},
            ),
            V,
        )
        torch.manual_seed(0)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, 0, 0.1)
        for name, buffer in model.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.fill_(20000)
        assert model.encoder.checkpoint_layers == recompute
        labels = torch.randint(1, V, (4, 3))
        loss = model(features(300), torch.tensor([300, 200, 300, 250]), labels, torch.tensor([3, 2, 3, 1]))
        loss.backward()
        results.append([loss, *(p.grad for p in model.parameters()), *model.buffers()])
    torch.testing.assert_close(*results)


def test_batch_norm_is_the_kits_own():
    encoder, _ = small(norm="batch_norm")
    assert sum(isinstance(module, MaskedBatchNorm) for module in encoder.modules()) == 3


@pytest.mark.parametrize(
    "section, message",
    [
        ({"layers": 0}, "key encoder.layers is 0; it must be positive"),
        ({"head_dim": 5}, "key encoder.head_dim is 5; with encoder.positions: rotary it must be even"),
        ({"dim": 25, "positions": "fourier"}, "key encoder.dim is 25; with encoder.positions: fourier"),
        ({"positions": "sine"}, "key encoder.positions is 'sine'; use one of rotary, fourier, none"),
        ({"norm": "layer"}, "key encoder.norm is 'layer'; use one of batch_renorm, batch_norm"),
        ({"attention_window": 0}, "key encoder.attention_window is 0; it must be positive"),
        ({"dropout": 2}, "key encoder.dropout is 2.0; it must be between 0 and 1"),
    ],
)
def test_what_is_wrong_in_its_section_is_named(section, message):
    with pytest.raises(InputError, match=f"f.yml: {message}"):
        parse_config(yaml.safe_dump({"encoder": {"kind": "conformer", **SMALL, **section}}), "f.yml")


def test_it_needs_a_ctc_head_to_read_and_intermediate_losses_need_it():
    with pytest.raises(InputError, match="reads the CTC head, but training.ctc_weight is 0: raise it"):
        parse_config("encoder: {kind: conformer}", "f.yml")
    parse_config("encoder: {kind: conformer, self_conditioning: false}", "f.yml")
    with pytest.raises(InputError, match="intermediate_weight is 0.5, but the encoder writes nothing"):
        parse_config("training: {ctc_weight: 0.3, intermediate_weight: 0.5}", "f.yml")


def test_the_configuration_is_a_dataclass_of_its_kind():
    config = load_config("conformer-digits")
    assert isinstance(config.encoder, ConformerConfig) and config.encoder.layers == 4
