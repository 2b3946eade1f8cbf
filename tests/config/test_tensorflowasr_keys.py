"""TensorFlowASR's keys: none is overlooked, and each does what the table of the documents says."""

import math
import re
from pathlib import Path

import pytest
import yaml
from dialects import BLOCK, EFFECTS, FILES, keys, named, nested, plain, read

from asrlib.config.parse import override, parse_config
from asrlib.config.schema import Config
from asrlib.config.tensorflowasr_generations import GENERATIONS
from asrlib.config.tensorflowasr_keys import BLOCK_KEYS, BLOCKS, HONORED, MASKS, NO_EFFECT, ONLY, SAME
from asrlib.config.tensorflowasr_places import PLACES
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


def section_of(key):
    """The key or section of NO_EFFECT that a key belongs to; None if it has an effect or is unknown."""
    if key in HONORED:
        return None
    while key and key not in NO_EFFECT:
        key = key.rpartition(".")[0]
    return key or None


def test_no_key_has_an_effect_and_none():
    assert not set(HONORED) & set(NO_EFFECT)
    assert not any(section_of(key) for key in HONORED)


@pytest.mark.parametrize("year", FILES)
def test_every_key_of_their_files_is_known(year):
    found = keys(plain(year))
    assert {"2021": 51, "2023": 88}[year] == len(found)
    assert all(key in HONORED or section_of(key) for key in found)


def values(node, prefix=""):
    """Dotted keys of the values that are not null."""
    if isinstance(node, dict):
        return {
            name
            for key, value in node.items()
            for name in values(value, f"{prefix}.{key}" if prefix else key)
        }
    return set() if node is None else {prefix}


@pytest.mark.parametrize("year", FILES)
def test_the_one_warning_names_every_key_without_effect_and_no_other(year, loaded):
    _, warning = loaded[year]
    without = {section_of(key) for key in values(plain(year))} - {None}
    files = {"decoder_config.vocabulary"} if year == "2023" else set()  # honored where it exists
    assert named(warning) == without | files
    assert all(NO_EFFECT[key] in warning for key in without)
    assert len(warning) < 1000  # it was three times as long


def test_the_documents_table_says_what_the_code_does():
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \| ?(.*?) ?\|$", DOCUMENT, re.MULTILINE)
    rows = [row for row in rows if row[0].split(".")[0].endswith("_config") and row[0] not in PLACES]
    assert {row[0] for row in rows} == set(HONORED) | set(NO_EFFECT) and len(rows) == len(HONORED | NO_EFFECT)
    both = {year: keys(plain(year)) for year in FILES}
    for key, files, becomes, note in rows:
        years = [year for year in FILES if any(f"{name}.".startswith(f"{key}.") for name in both[year])]
        assert files == ("both" if len(years) == 2 else years[0] if years else "–"), key
        assert becomes == ("no effect" if key in NO_EFFECT else f"`{HONORED[key]}`"), key
        assert key not in NO_EFFECT or NO_EFFECT[key] in note, key


def test_the_documents_table_of_places_is_the_codes():
    rows = re.findall(r"^\| `(.+?)` \| as `(.+?)` \|$", DOCUMENT, re.MULTILINE)
    assert dict(rows) == PLACES and len(rows) == len(PLACES)


def test_the_documents_table_of_generations_is_the_codes():
    head, _, *rows = re.findall(r"^\| .*2020.*\|\n(?:\|.*\|\n)+", DOCUMENT, re.MULTILINE)[0].splitlines()
    names = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert names == list(GENERATIONS)
    table = {}
    for row in rows:
        key, *cells = (cell.strip().strip("`") for cell in row.strip("|").split("|"))
        table[key] = dict(zip(names, map(yaml.safe_load, cells), strict=True))
    kit = Config()
    for name in names:
        usual = GENERATIONS[name]
        for section, given in (("features", usual.features), ("encoder", usual.encoder)):
            for key, value in given.items():
                assert table[f"{section}.{key}"][name] in (value, str(value)), f"{section}.{key} of {name}"
        assert table["decoding.max_symbols"][name] == usual.decoding["max_symbols"]
        for key in table:
            section, _, key = key.partition(".")
            if section == "features" and key not in usual.features:
                assert table[f"features.{key}"][name] == getattr(kit.features, key)


def test_the_document_says_what_holds_where_a_file_says_nothing():
    (text,) = re.findall(r"```yaml\n(augment: .*?)```", DOCUMENT, re.DOTALL)
    config = read().to_dict()
    usual = override(Config(), [])
    for section, values in yaml.safe_load(text).items():
        for key, value in values.items():
            value = float(value) if isinstance(value, str) and key == "eps" else value
            assert config[section].pop(key) == value, f"{section}.{key}"
    assert config["training"].pop("schedule_width") == 8 and config["training"].pop("max_lr") == math.inf
    for section in ("features", "encoder", "decoding"):
        for key, value in getattr(GENERATIONS["2023"], section).items():
            assert config[section].pop(key) == value, f"{section}.{key}"
    assert config["encoder"].pop("blocks") is not None and config["tokenizer"].pop("kind") == "characters"
    left = {f"{s}.{k}": v for s, part in config.items() if isinstance(part, dict) for k, v in part.items()}
    for name, value in left.items():
        section, key = name.split(".")
        assert value == getattr(getattr(usual, section), key), name


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_that_has_a_meaning_changes_what_the_table_says(key):
    value, expected = EFFECTS[key]
    content, ours = nested(key, value), HONORED[key].split("[")[0]
    config, usual = read(**content), read(**without(content, key))
    changed = {
        f"{section}.{name}"
        for section, part in [(name, vars(part)) for name, part in vars(config).items() if name != "name"]
        for name in part
        if part[name] != getattr(getattr(usual, section), name)
    }
    follow = {"tokenizer.kind"} if "vocab_size" in key else set()  # a size means word pieces
    if key.startswith(MASKS):  # the other keys of the mask have TensorFlowASR's defaults
        follow |= {f"augment.{key.split('.')[3][:4]}_{name}" for name in ("masks", "width", "fraction")}
    if expected is None:
        assert changed == set() and (key != "model_config.name" or config.name == "mine")
    else:
        section, name = ours.split(".")
        assert getattr(getattr(config, section), name) == expected
        assert changed - (follow - {ours}) == (
            {ours} if expected != getattr(getattr(usual, section), name) else set()
        )


def without(content, key):
    """A file that says nothing but the generation which ``content`` tells."""
    generation = parse_generation(content)
    marks = {
        "2020": {"learning_config": {"dataset_config": {"train_paths": "..."}}},
        "1.0": {"decoder_config": {"blank_at_zero": True}, "speech_config": {"normalize_per_frame": False}},
        "2023": {},
        "2.1": {"data_config": {"train_dataset_config": {"stage": "train"}}},
    }
    return marks[generation]


def parse_generation(content):
    with pytest.warns(UserWarning) as caught:
        parse_config(yaml.safe_dump(content | model(content)), "f.yml")
    return re.search(r"TensorFlowASR ([\d.]+\d)", str(caught[0].message))[1]


def model(content):
    return {"model_config": {"encoder_blocks": [BLOCK]} | content.get("model_config", {})}


@pytest.mark.parametrize("key", ONLY)
def test_what_the_models_do_not_have_is_an_error(key):
    value = {"speech_config.feature_type": "mfcc"}.get(key, True)
    with pytest.raises(Exception, match=f"^f.yml: key {key} is .*; only .* is supported"):
        read(**nested(key, value))


def test_the_linear_layers_before_the_joint_can_be_left_out():
    narrow = {"prediction_rnn_units": 4, "prediction_projection_units": 4}
    split = {"prejoint_encoder_linear": False, "prejoint_prediction_linear": False}
    config = read(model_config=split | narrow)
    assert (config.joint.encoder_linear, config.joint.prediction_linear) == (False, False)
    assert read(model_config={"prejoint_linear": False} | narrow) == config  # before 2022
    assert set(EFFECTS) | {f"{BLOCKS}[].{key}" for key in BLOCK_KEYS} | {
        "model_config.prejoint_linear",
        "model_config.prejoint_encoder_linear",
        "model_config.prejoint_prediction_linear",
    } == set(HONORED)  # so that no key is forgotten here
    assert set(SAME) < set(HONORED)
    assert count_parameters(build_model(config, 9).joint)[0] == 4 * 9 + 9
