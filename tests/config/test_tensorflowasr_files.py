"""TensorFlowASR's two files, unchanged: every count is that of their summary."""

import math
from dataclasses import replace

import pytest
import torch
from dialects import EFFECTS, FILES, nested, plain, read

from asrlib.config.parse import load_config, override
from asrlib.config.tensorflowasr_places import OLD
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters
from asrlib.training.schedules import learning_rate


@pytest.mark.parametrize("key", OLD)
def test_a_file_with_a_key_of_2021_is_of_2021(key):
    value = {"learning_config.augmentations": {"after": {"freq_masking": {"num_masks": 1}}}}
    value |= {"learning_config.dataset_config": {"train_paths": "..."}}
    config = read(**nested(key, value.get(key, EFFECTS.get(key, (True,))[0])))
    assert (config.encoder.variant, config.encoder.blocks[0].padding) == ("tensorflowasr-2021", "keras-same")
    assert config.training.max_lr == 0.05 / 8**0.5


def test_any_other_file_is_of_2023(small):
    assert (small.encoder.variant, small.encoder.blocks[0].padding) == ("tensorflowasr", "causal")
    assert small.training.max_lr == math.inf
    assert learning_rate(small.training, 9_999, 10**6, 8) == pytest.approx(1 / (8 * 10_000) ** 0.5)


@pytest.mark.parametrize("year", FILES)
def test_what_ships_under_their_names_is_what_their_files_say(year, loaded):
    config, _ = loaded[year]
    assert load_config(f"tensorflowasr-{year}") == replace(config, name=f"tensorflowasr-{year}")


@pytest.mark.parametrize("year", FILES)
def test_their_blocks_are_built_as_written(year, loaded):
    rows = plain(year)["model_config"]["encoder_blocks"]
    with torch.device("meta"):
        encoder = build_model(loaded[year][0]).encoder
    assert len(rows) == 23 == len(encoder.blocks) and encoder.reduction == 8
    for row, block in zip(rows, encoder.blocks, strict=True):
        convs = [layer.conv for layer in block.layers]
        assert len(convs) == row["nlayers"] + 1  # one more inside their SE module
        assert {conv.depthwise.shape[1] for conv in convs} == {row["kernel_size"]}
        assert [conv.stride for conv in convs[-2:]] == [row["strides"], 1]
        assert block.channels == int(row["filters"] * 0.5) and (block.shortcut is not None) == row["residual"]
        assert {conv.padding for conv in convs} == {row.get("padding", "keras-same")}
        assert block.activation is torch.nn.functional.silu


def lstm(inputs, units):
    return 4 * units * (inputs + units + 1)


def transducer_counts(vocabulary, embed, units, encoder, joint):
    """(prediction, joint) as Keras counts them, on paper."""
    prediction = vocabulary * embed + lstm(embed, units) + 2 * units
    return prediction, (encoder + 1) * joint + units * joint + (joint + 1) * vocabulary


def sep_conv(cin, cout, k=5):
    return cin * k + cin * cout + cout


def encoder_counts(rows, alpha, mels=80):
    """(trainable, non-trainable) of their blocks, on paper."""
    cin, trainable, running = mels, 0, 0
    for row in rows:
        cout = int(row["filters"] * alpha)
        norms = row["nlayers"] + 1 + row["residual"]
        trainable += sep_conv(cin, cout) + row["nlayers"] * sep_conv(cout, cout) + 2 * cout * norms
        trainable += 2 * cout * (cout // 8) + cout // 8 + cout
        trainable += sep_conv(cin, cout) if row["residual"] else 0
        running += 2 * cout * norms
        cin = cout
    return trainable, running


def test_the_file_of_2023_has_the_counts_of_its_summary(loaded):
    with torch.device("meta"):
        model = build_model(loaded["2023"][0])
    assert count_parameters(model.encoder) == (6_829_256, 59_136) and 6_829_256 + 59_136 == 6_888_392
    assert count_parameters(model.prediction) == (3_002_368, 0)
    assert count_parameters(model.joint) == (939_496, 0)
    assert count_parameters(model) == (10_771_120, 59_136)  # and the summary's two loss counters


@pytest.mark.parametrize(
    "year, sizes", [("2021", (1024, 640, 640, 320, 640)), ("2023", (1000, 640, 512, 320, 512))]
)
def test_both_files_have_the_counts_of_the_formulas(year, sizes, loaded):
    with torch.device("meta"):
        model = build_model(loaded[year][0])
    assert count_parameters(model.encoder) == encoder_counts(
        plain(year)["model_config"]["encoder_blocks"], 0.5
    )
    counts = transducer_counts(*sizes)
    assert (count_parameters(model.prediction), count_parameters(model.joint)) == (
        (counts[0], 0),
        (counts[1], 0),
    )


def test_the_counts_of_2021_in_figures(loaded):
    with torch.device("meta"):
        model = build_model(loaded["2021"][0])
    assert count_parameters(model.encoder) == (6_829_256, 59_136)
    assert (
        count_parameters(model.prediction)[0] == 1024 * 640 + 4 * 640 * (640 + 640 + 1) + 2 * 640 == 3_936_000
    )
    assert count_parameters(model.joint)[0] == 321 * 640 + 640 * 640 + 641 * 1024 == 1_271_424


@pytest.mark.parametrize("alpha, total", [(1, 31_040_488), (2, 110_936_152)])
def test_the_file_of_2023_at_other_widths(alpha, total, loaded):
    with torch.device("meta"):
        model = build_model(override(loaded["2023"][0], [f"encoder.alpha={alpha}"]))
    assert sum(count_parameters(model)) == total


@pytest.mark.parametrize("year, warmup, cap", [("2021", 10_000, 0.05 / 640**0.5), ("2023", 15_000, 0.0025)])
def test_their_schedules_never_reach_their_caps(year, warmup, cap, loaded):
    config = loaded[year][0].training
    rates = [learning_rate(config, step, 10**6, 512) for step in range(0, 3 * warmup)]
    assert config.max_lr == pytest.approx(cap)
    assert max(rates) == rates[warmup - 1] == pytest.approx(1 / (640 * warmup) ** 0.5)
    assert round(max(rates) * 1e4, 2) == {"2021": 3.95, "2023": 3.23}[year] and max(rates) < cap / 4


def test_only_the_file_of_2021_augments(loaded):
    before, after = loaded["2021"][0].augment, loaded["2023"][0].augment
    assert (before.time_masks, before.time_width, before.time_fraction) == (10, 100, 0.2)
    assert (before.freq_masks, before.freq_width) == (1, 27)
    assert (after.time_masks, after.freq_masks, after.speed, after.noise_probability) == (0, 0, None, 0.0)


def test_a_loaded_file_can_be_made_to_stream(loaded):
    config = override(loaded["2023"][0], ["encoder.se=causal", "features.mels=8", "encoder.alpha=0.0625"])
    encoder = build_model(config, 5).encoder
    assert {block.se.context for block in encoder.blocks} == {"causal"}
    assert {layer.conv.padding for block in encoder.blocks for layer in block.layers} == {"causal"}
