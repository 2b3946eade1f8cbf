"""TensorFlowASR's keys: none is overlooked, and each does what the table of the documents says."""

import math
import re
from pathlib import Path

import pytest
import yaml
from dialects import EFFECTS, FILES, keys, nested, plain, read

from asrlib.config.parse import override
from asrlib.config.schema import Config
from asrlib.config.tensorflowasr_keys import BLOCK_KEYS, BLOCKS, HONORED, NO_EFFECT, OLD
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("year", FILES)
def test_every_key_of_their_files_is_known(year):
    found = keys(plain(year))
    assert {"2021": 51, "2023": 88}[year] == len(found)
    assert found <= set(HONORED) | set(NO_EFFECT)


@pytest.mark.parametrize("year", FILES)
def test_the_one_warning_names_every_key_without_effect_and_no_other(year, loaded):
    _, warning = loaded[year]
    found = keys(plain(year))
    named = {key for key in found if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", warning)}
    files = {"decoder_config.vocabulary"} if year == "2023" else set()  # honoured where it exists
    assert named == (found & set(NO_EFFECT)) | files
    assert all(NO_EFFECT[key] in warning for key in found & set(NO_EFFECT))


def test_the_documents_table_says_what_the_code_does():
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| ?(.*?) ?\|$", DOCUMENT, re.MULTILINE)
    assert {row[0] for row in rows} == set(HONORED) | set(NO_EFFECT) and len(rows) == len(HONORED | NO_EFFECT)
    both = {year: keys(plain(year)) for year in FILES}
    for key, files, becomes, note in rows:
        years = [year for year in FILES if key in both[year]]
        assert files == ("both" if len(years) == 2 else years[0] if years else "–"), key
        assert becomes == ("no effect" if key in NO_EFFECT else f"`{HONORED[key]}`"), key
        assert key not in NO_EFFECT or note == NO_EFFECT[key], key


def test_the_document_says_what_holds_where_a_file_says_nothing():
    (text,) = re.findall(r"```yaml\n(features: .*?)```", DOCUMENT, re.DOTALL)
    config = read().to_dict()
    usual = override(Config(), [])
    for section, values in yaml.safe_load(text).items():
        for key, value in values.items():
            value = float(value) if isinstance(value, str) and key == "eps" else value
            assert config[section].pop(key) == value, f"{section}.{key}"
    assert config["training"].pop("schedule_width") == 8 and config["training"].pop("max_lr") == math.inf
    assert (
        config["encoder"].pop("variant") == "tensorflowasr" and config["encoder"].pop("padding") == "causal"
    )
    assert config["encoder"].pop("blocks") is not None and config["tokenizer"].pop("kind") == "characters"
    left = {f"{s}.{k}": v for s, part in config.items() if isinstance(part, dict) for k, v in part.items()}
    for name, value in left.items():
        section, key = name.split(".")
        assert value == getattr(getattr(usual, section), key), name


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_that_has_a_meaning_changes_what_the_table_says(key, small):
    value, expected = EFFECTS[key]
    config, ours = read(**nested(key, value)), HONORED[key].split("[")[0]
    sections = [(name, vars(part)) for name, part in vars(config).items() if name != "name"]
    changed = {
        f"{section}.{name}"
        for section, part in sections
        for name in part
        if part[name] != getattr(getattr(small, section), name)
    }
    follow = {"tokenizer.kind"} if "vocab_size" in key else set()  # a size means word pieces
    if any(f"{key}.".startswith(f"{old}.") for old in OLD):  # the code of 2021
        follow |= {"encoder.variant", "encoder.padding", "encoder.blocks", "training.max_lr"}
    if expected is None:
        assert changed == set() and (key != "model_config.name" or config.name == "mine")
    else:
        section, name = ours.split(".")
        assert getattr(getattr(config, section), name) == expected
        assert changed - follow == ({ours} if expected != getattr(getattr(small, section), name) else set())


def test_the_linear_layers_before_the_joint_can_be_left_out():
    config = read(
        model_config={
            "prejoint_encoder_linear": False,
            "prejoint_prediction_linear": False,
            "prediction_rnn_units": 4,
            "prediction_projection_units": 4,
        }
    )
    assert (config.joint.encoder_linear, config.joint.prediction_linear) == (False, False)
    assert set(EFFECTS) | {f"{BLOCKS}[].{key}" for key in BLOCK_KEYS} | {
        "model_config.prejoint_encoder_linear",
        "model_config.prejoint_prediction_linear",
    } == set(HONORED)  # so that no key is forgotten here
    assert count_parameters(build_model(config, 9).joint)[0] == 4 * 9 + 9
