"""Configurations read from YAML: every value lands in its place; errors name file and key."""

import re
import subprocess
import sys

import pytest
import yaml
from small_config import TINY

from asrlib.config.parse import load_config, override, parse_config, shipped_configs
from asrlib.config.schema import Config
from asrlib.errors import InputError


def test_values_land_where_they_belong():
    config = parse_config(TINY, "tiny.yml")
    assert (config.features.sample_rate, config.features.mels, config.features.window_ms) == (8000, 10, 25.0)
    assert [b.filters for b in config.encoder.blocks] == [8, 8]
    assert [b.se for b in config.encoder.blocks] == ["global", 256]
    assert config.training.eps == 1e-9  # which YAML 1.1 reads as text
    assert config.prediction.layers == 1  # a default


@pytest.mark.parametrize("name", shipped_configs())
def test_a_saved_configuration_comes_back(tmp_path, name):
    config = load_config(name)
    config.save(tmp_path / "config.yml")
    assert load_config(tmp_path / "config.yml") == config


@pytest.mark.parametrize(
    "text, message",
    [
        ("features: {mels: eighty}", "key features.mels is 'eighty'; expected int"),
        ("features: {mels: 80.5}", "key features.mels is 80.5; expected int"),
        ("features: {mels: true}", "key features.mels is True; expected int"),
        ("features: {window_ms: wide}", "key features.window_ms is 'wide'; expected float"),
        ("features: {normalize_signal: 1}", "key features.normalize_signal is 1; expected bool"),
        ("features: 80", "key features is 80; expected a section"),
        ("features:", "key features is None; expected a section"),
        ("name: 7", "key name is 7; expected str"),
        ("augment: {speed: 0.9}", "key augment.speed is 0.9; expected list or nothing"),
        ("augment: {speed: [0.9, fast]}", r"key augment.speed\[1\] is 'fast'; expected float"),
        ("encoder: {se: 2.5}", "key encoder.se is 2.5; expected str or int"),
        ("encoder: {blocks: [8]}", r"key encoder.blocks\[0\] is 8; expected a section"),
        ("encoder: {blocks: [{layers: 2}]}", r"key encoder.blocks\[0\].filters is missing"),
        ("encoder: {blocks: [{filters: 8}, {filters: x}]}", r"key encoder.blocks\[1\].filters is 'x'"),
        ("[features]", "expected sections such as features and encoder, found list"),
        ("", "expected sections such as features and encoder, found NoneType"),
    ],
)
def test_a_wrong_type_names_the_key(text, message):
    with pytest.raises(InputError, match=f"^f.yml: {message}"):
        parse_config(text, "f.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "training: {momentum: 0.9, epochs: 3, 9: 9}",
            "f.yml: unknown key training.momentum; unknown key training.9: correct or remove it",
        ),
        (
            "encoder: {blocks: [{filters: 8, filter: 9}]}",
            r"unknown key encoder.blocks\[0\].filter \(did you mean encoder.blocks\[0\].filters\?\)",
        ),
        ("name: x\ntrainning: {}", r"unknown key trainning \(did you mean training\?\)"),
        ("encoder: {kind: conformer, alpha: 1}", "unknown key encoder.alpha"),
    ],
)
def test_unknown_keys_are_errors_that_name_the_nearest_key(text, message):
    with pytest.raises(InputError, match=message):
        parse_config(text, "f.yml")


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: a\nfeatures: [", "f.yml, line 2: not valid YAML"),
        ("name: a\n\n\tmels: 3", "f.yml, line 3: not valid YAML"),
        ("name: !!python/object:os.system x", "f.yml, line 1: not valid YAML: could not determine"),
        ("name: \x00", "f.yml: not valid YAML: unacceptable character"),
    ],
)
def test_broken_yaml_names_the_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_config(text, "f.yml")
    assert "\n" not in str(error.value)


def test_yamls_no_is_a_precision():
    assert parse_config("training: {precision: no}", "f.yml").training.precision == "no"
    assert override(Config(), ["training.precision=no"]).training.precision == "no"


def test_files_that_are_missing_or_not_text(tmp_path):
    with pytest.raises(InputError, match="no configuration file contextnet-xl; shipped .* contextnet-l,"):
        load_config("contextnet-xl")
    (tmp_path / "image.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="image.yml is not a UTF-8 text file"):
        load_config(tmp_path / "image.yml")
    (tmp_path / "tiny.yml").write_text(TINY.replace("mels: 10", "mels: ten"))
    with pytest.raises(InputError, match="tiny.yml: key features.mels is 'ten'"):
        load_config(tmp_path / "tiny.yml")


def test_override_changes_what_it_names_and_nothing_else():
    config = parse_config(TINY, "tiny.yml")
    before = config.to_dict()
    speed = "augment.speed=[0.9, 1.1]"
    changed = override(config, ["training.max_lr=1e-3", speed, "encoder.se = causal", "name=a=b"])
    assert changed.training.max_lr == 1e-3
    assert changed.augment.speed == [0.9, 1.1]
    assert changed.encoder.se == "causal"
    assert changed.name == "a=b"
    assert config.to_dict() == before
    expected = yaml.safe_load(yaml.safe_dump(before)) | {"name": "a=b"}
    expected["training"]["max_lr"], expected["augment"]["speed"] = 1e-3, [0.9, 1.1]
    expected["encoder"]["se"] = "causal"
    assert changed.to_dict() == expected
    assert override(config, []) == config


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("training.max_lr", "--set training.max_lr: expected key=value"),
        ("training.lr=1", "--set training.lr=1: there is no key 'training.lr'"),
        ("training.epoch=1", r"there is no key 'training.epoch' \(did you mean training.epochs\?\)"),
        ("name.lr=1", "there is no key 'name.lr'"),
        ("trainer.lr=1", "there is no key 'trainer.lr'"),
        ("training.max_lr=fast", "--set: key training.max_lr is 'fast'; expected float"),
        ("training.max_lr=", "--set: key training.max_lr is None; expected float"),
        ("training.epochs=-3", "--set: key training.epochs is -3; it must be positive"),
        ("augment.speed=[1", r"--set augment.speed=\[1, line 1: not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_is_refused(assignment, message):
    with pytest.raises(InputError, match=message):
        override(Config(), [assignment])


def test_a_warning_points_at_the_line_that_read_the_configuration(tmp_path):
    """In a process of its own: there no shape hook stands between caller and function."""
    theirs = "learning_config: {x: 1}\nmodel_config: {encoder_blocks: [{filters: 8}]}"
    (tmp_path / "f.yml").write_text(theirs)
    script = tmp_path / "script.py"
    script.write_text(
        "from asrlib.config.parse import load_config, parse_config\n"
        "load_config('f.yml')\n"
        "parse_config('learning_config: {x: 1}\\nmodel_config: {encoder_blocks: [{filters: 8}]}', 'theirs')\n"
    )
    command = [sys.executable, str(script)]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"script\.py:(\d+):", printed)
    assert found == ["2", "3"]
    assert "keys without effect: learning_config.x (the key is unknown)" in printed
