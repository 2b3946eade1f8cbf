"""Bad configurations. The numbers of entries are those of the review of bad and unusual input."""

import resource
import subprocess
import sys

import pytest

from asrlib.config.parse import load_config, override, parse_config
from asrlib.config.schema import Config
from asrlib.errors import InputError
from asrlib.reading import MAX_YAML_CHARACTERS, parse_yaml, shown


def refused(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse_config(text, "f.yml")
    assert str(error.value).startswith("f.yml")
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


# ------------------------------------------------------------------------ entry 8


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "name: a\ntraining: {epochs: 3}\nfeatures: {mels: 8}\ntraining:\n  seed: 1\n",
            "^f.yml, line 4: key training is in line 2, too: keep one",
        ),
        ("training:\n  epochs: 3\n  seed: 1\n  epochs: 4\n", "^f.yml, line 4: key epochs is in line 2, too"),
        ("encoder: {blocks: [{filters: 8, filters: 9}]}", "^f.yml, line 1: key filters is in line 1, too"),
        ("model_config: {}\nmodel_config: {encoder_blocks: []}", "^f.yml, line 2: key model_config"),
    ],
)
def test_entry_08_a_repeated_section_names_key_and_lines(text, message):
    refused(text, message)


def test_entry_08_a_merged_section_may_be_overridden():
    text = "features: &base {mels: 10, window_ms: 20}\n"
    assert parse_yaml(text + "other: {<<: *base, mels: 11}", "f")["other"] == {"mels": 11, "window_ms": 20}


# ----------------------------------------------------------------------- entry 15


@pytest.mark.parametrize("text", ["{}", "version: '3'\nservices: {web: {image: nginx}}", "a: 1"])
def test_entry_15_a_file_without_any_section_is_no_configuration(text, fails, corpus, tmp_path):
    refused(text, "is no configuration: it has none of the sections name, features")
    file = tmp_path / "docker-compose.yml"
    file.write_text(text)
    fails("train", file, "--corpus", corpus, "--out", tmp_path / "out", naming=[file, "features"])
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------- entry 17

BOMB = "x: &x [a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("xbcdefgh", "bcdefghi", strict=True)
)


def test_entry_17_nested_aliases_take_no_memory(tmp_path):
    """The file has some 400 bytes; its aliases stand for 9^9 values."""
    file = tmp_path / "bomb.yml"
    file.write_text(BOMB + "features: {mels: *i}\n")
    assert file.stat().st_size < 500
    program = (
        "import resource, sys\n"
        "from asrlib.config.parse import load_config\n"
        "from asrlib.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_config(sys.argv[1])\nexcept InputError as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, timeout=120)
    message, grown = done.stdout.splitlines()
    assert f"{file}: its aliases stand for more than 100,000 values" in message
    assert int(grown) < 100_000  # kilobytes
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 3_000_000


def test_entry_17_messages_show_the_beginning_of_a_value():
    long = "[" + ", ".join(["abc"] * 1000) + "]"
    refused(f"features: {{mels: {long}}}", r"key features.mels is \['abc', .*\.\.\.\]; expected int")
    refused(f"features: {{mels: {'x' * 100_000}}}", r"key features.mels is 'x+\.\.\.x+'; expected int")
    refused(f"training: {{{'m' * 900}: 1}}", "unknown key training.m+: correct or remove it")
    assert len(shown({str(n): "x" * 1000 for n in range(1000)})) < 1000


def test_entry_17_a_huge_file_is_refused(tmp_path):
    file = tmp_path / "huge.yml"
    file.write_text("features: {mels: 8}\n" + "#" * MAX_YAML_CHARACTERS)
    with pytest.raises(InputError, match="huge.yml has 1,000,020 characters; expected at most 1,000,000"):
        load_config(file)


# ----------------------------------------------------------------------- entry 18


@pytest.mark.parametrize(
    "text, key",
    [
        ("encoder: {alpha: 1e9}", "encoder.alpha"),
        ("encoder: {kernel: 1000000000}", "encoder.kernel"),
        ("encoder: {blocks: [{filters: 8, layers: 1000000000}]}", r"encoder.blocks\[0\].layers"),
        ("encoder: {blocks: [{filters: 1000000000}]}", r"encoder.blocks\[0\].filters"),
        ("encoder: {kind: conformer, layers: 1000000000}", "encoder.layers"),
        ("encoder: {kind: conformer, dim: 1000000000}", "encoder.dim"),
        ("encoder: {kind: conv_lstm, layers: 1000000000}", "encoder.layers"),
        ("prediction: {layers: 1000000000}", "prediction.layers"),
        ("prediction: {units: 1000000000}", "prediction.units"),
        ("joint: {dim: 1000000000}", "joint.dim"),
        ("features: {mels: 1000000000}", "features.mels"),
        ("features: {window_ms: 1e9}", "features.window_ms"),
        ("features: {tail_ms: 1e9}", "features.tail_ms"),
        ("decoding: {beam_width: 1000000000}", "decoding.beam_width"),
        ("decoding: {max_symbols: 1000000000}", "decoding.max_symbols"),
        ("tokenizer: {vocabulary: 1000000000}", "tokenizer.vocabulary"),
        ("training: {workers: 1000000000}", "training.workers"),
        ("augment: {time_masks: 1000000000}", "augment.time_masks"),
    ],
)
def test_entry_18_a_huge_size_is_refused_at_once(text, key):
    refused(text, f"key {key} is 1000000000(.0)?; it must be at most")


@pytest.mark.parametrize("rate", [1000, 400_000_000])
def test_entry_18_a_rate_that_no_recording_has_is_refused_before_training(rate):
    refused(f"features: {{sample_rate: {rate}}}", f"features.sample_rate is {rate}; give whole Hz, 4,000 to")


def test_entry_18_a_huge_network_is_refused():
    blocks = ", ".join(["{filters: 10000, layers: 100}"] * 2)
    refused(f"encoder: {{alpha: 100, blocks: [{blocks}]}}", r"encoder: it would have [\d,]+ parameters")


# ----------------------------------------------------------------------- entry 19


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: 2023-13-45", "^f.yml, line 1: not valid YAML: '2023-13-45' cannot be of the type timestamp"),
        (f"\ntraining: {{seed: {'9' * 5000}}}", "^f.yml, line 2: not valid YAML: '9+...9+' cannot be"),
        (
            f"training: {{seed: 0x{'f' * 5000}}}",
            "^f.yml, line 1: not valid YAML: the number 0xf+… is too large",
        ),
        ("features: {mels: !!int x}", "^f.yml, line 1: not valid YAML: 'x' cannot be of the type int"),
        ("features: {mels: !!int }", "^f.yml, line 1: not valid YAML: '' cannot be of the type int"),
        ("features: {centered: !!bool x}", "^f.yml, line 1: not valid YAML: 'x' cannot be of the type bool"),
        ("name: !!timestamp x", "^f.yml, line 1: not valid YAML: 'x' cannot be of the type timestamp"),
        ("[" * 5000, "^f.yml: not valid YAML: it is nested too deeply"),
        ("{a: " * 5000, "^f.yml: not valid YAML: it is nested too deeply"),
        ("- " * 5000, "^f.yml: not valid YAML: it is nested too deeply"),
        ("name: &a [*a]", "^f.yml, line 1: not valid YAML: an alias stands for a value that it is part of"),
        ("features: &a {<<: *a}", "^f.yml, line 1: not valid YAML: an alias stands for a value"),
        ("? [a]\n: b", "^f.yml, line 1: not valid YAML: found unhashable key"),
        ("{{ name }}", "^f.yml: the template cannot be rendered"),
        ("features: {hop_ms: .inf}", "^f.yml: key features.hop_ms is inf; expected a finite number"),
        ("features: {hop_ms: .nan}", "^f.yml: key features.hop_ms is nan; expected a finite number"),
        ("features: {hop_ms: 1e999}", "^f.yml: key features.hop_ms is inf; expected a finite number"),
        ("training: {max_lr: -.inf}", "^f.yml: key training.max_lr is -inf; expected a finite number"),
        ("training: {seed: 9223372036854775808}", "^f.yml: key training.seed is 9223372036854775808"),
        ("training: {seed: -1}", "^f.yml: key training.seed is -1; it must not be negative"),
        (
            "training: {max_lr: 1" + "0" * 400 + "}",
            "^f.yml, line 1: not valid YAML: the number 10+… is too la",
        ),
        ("model_config: {encoder_blocks: [{filters: [8]}]}", "key .*filters"),
        (
            "model_config: {encoder_blocks: [{filters: 8}]}\ndecoder_config: {type: [wordpiece]}",
            "decoder_config",
        ),
    ],
)
def test_entry_19_yaml_gives_one_line(text, message):
    refused(text, message)


@pytest.mark.parametrize(
    "assignment",
    [
        "name=2023-13-45",
        f"training.seed={'9' * 5000}",
        "features.hop_ms=.inf",
        "name=[" + "[" * 5000,
        "name=!!int x",
    ],
)
def test_entry_19_set_gives_one_line(assignment):
    with pytest.raises(InputError, match="^--set") as error:
        override(Config(), [assignment])
    assert "\n" not in str(error.value)
