"""ContextNet's parameter counts, to the last one."""

import pytest
import torch

from asrlib.config.parse import load_config
from asrlib.models.build import build_model
from asrlib.models.contextnet import VARIANTS, ContextNetEncoder, standard_blocks
from asrlib.models.joint import JointNetwork
from asrlib.models.parameters import count_parameters
from asrlib.models.prediction import PredictionNetwork


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
