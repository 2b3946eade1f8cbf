"""TensorFlowASR's checkpoints become model directories with its outputs; what does not fit is named."""

import importlib.util
import shutil
import warnings

import numpy as np
import pytest
import tensorflowasr
import tiny
import torch
from exports import export

from asrlib.config.parse import override
from asrlib.data.corpora import load_corpus
from asrlib.decoding.greedy import greedy_rnnt
from asrlib.errors import InputError
from asrlib.evaluate import evaluate
from asrlib.export.imports.keras_names import expected_weights, plain_name
from asrlib.export.imports.table import import_checkpoint
from asrlib.export.runner import Runner
from asrlib.losses.rnnt import rnnt_loss
from asrlib.recognizer import Recognizer
from asrlib.training.loop import train

h5py = pytest.importorskip("h5py")
pytestmark = tensorflowasr.needs_tensorflowasr
LABELS = "abcdefghijk"
# how many labels a frame each stored search allows; "greedy" is one of its keys, with a number behind it
SEARCHES = {
    "2.1.0-causal": {"greedy": 3},
    "2.1.0-same": {"greedy": 3},
    "2023-causal": {"greedy": 1, "greedy_v2": 16},
    "2021-same": {"greedy": 1},
}


def import_network(name, out, labels, path=None, config=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # keys without effect
        import_checkpoint(
            path or tensorflowasr.checkpoint(name),
            "tensorflowasr",
            out,
            labels,
            config or tensorflowasr.configuration(name),
            tensorflowasr.generation(name),
        )


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture(scope="module")
def folders(labels, tmp_path_factory):
    """Every network as a model directory."""
    out = tmp_path_factory.mktemp("imported")
    for name in tensorflowasr.NETWORKS:
        import_network(name, out / name, labels)
    return out


@pytest.fixture(params=tensorflowasr.NETWORKS)
def network(request, folders):
    """A network from its saved directory, and TensorFlowASR's outputs."""
    return Recognizer.load(folders / request.param), tensorflowasr.arrays(request.param), request.param


def off(found, expected):
    """The largest difference over the largest value."""
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def alone(outputs, number, dtype=torch.float32):
    """The features of one utterance without padding, and its labels."""
    frames, count = int(outputs["feature_lengths"][number]), int(outputs["label_lengths"][number])
    features = torch.from_numpy(outputs["features"][number : number + 1, :frames]).to(dtype)
    return features, torch.from_numpy(outputs["labels"][number : number + 1, :count]).long()


@torch.no_grad()
def test_the_encoder_is_theirs(network):
    recognizer, outputs, name = network
    features, lengths = torch.from_numpy(outputs["features"]), torch.from_numpy(outputs["feature_lengths"])
    together, counts = recognizer.model.encoder(features, lengths.long())
    assert counts.tolist() == outputs["encoder_lengths"].tolist()
    for number, count in enumerate(counts.tolist()):
        found, _ = recognizer.model.encoder(alone(outputs, number)[0])
        assert off(found[0], outputs[f"encoder_alone_{number}"]) < 1e-5
        # in our batch, too, an utterance is what it is alone; in theirs with ``same``, padding leaks into it
        assert off(together[number, :count], outputs[f"encoder_alone_{number}"]) < 1e-5
        leaks = off(together[number, :count], outputs["encoder"][number, :count])
        longest = count == counts.max()
        assert leaks < 1e-5 if name.endswith("causal") or longest else leaks > 0.1


@torch.no_grad()
def test_the_encoder_in_64_bits_is_theirs(network):
    recognizer, outputs, _ = network
    model = recognizer.model.double()
    for number in range(3):
        features, _ = alone(outputs, number, torch.float64)
        assert off(model.encoder(features)[0][0], outputs[f"encoder_alone_{number}_float64"]) < 1e-12


@torch.no_grad()
@pytest.mark.parametrize("bits, close", [("", 1e-5), ("_float64", 1e-12)])
def test_prediction_and_joint_are_theirs(network, bits, close):
    recognizer, outputs, _ = network
    model = recognizer.model.to(torch.float64 if bits else torch.float32)
    predicted = model.prediction(torch.from_numpy(outputs["labels"]).long())
    encoded = torch.from_numpy(outputs[f"encoder{bits}"])
    logits = model.joint(encoded[:, :, None], predicted[:, None])
    for number, (frames, count) in enumerate(
        zip(outputs["encoder_lengths"], outputs["label_lengths"] + 1, strict=True)
    ):
        assert off(predicted[number, :count], outputs[f"prediction{bits}"][number, :count]) < close
        theirs = outputs[f"logits{bits}"][number, :frames, :count]
        assert off(logits[number, :frames, :count], theirs) < close


@torch.no_grad()
def test_the_losses_are_theirs(network):
    recognizer, outputs, _ = network
    targets, frames, counts = (
        torch.from_numpy(outputs[key]).long() for key in ("labels", "encoder_lengths", "label_lengths")
    )
    logits = torch.from_numpy(outputs["logits"])
    assert off(rnnt_loss(logits, targets, frames, counts, blank=0, reduction="none"), outputs["loss"]) < 1e-5
    model, found = recognizer.model, []
    for number in range(3):
        features, labels = alone(outputs, number)
        encoded, length = model.encoder(features)
        logits = model.joint(encoded[:, :, None], model.prediction(labels)[:, None])
        sizes = length, counts[number : number + 1]
        found.append(rnnt_loss(logits, labels, *sizes, blank=0, reduction="none"))
    assert off(torch.cat(found), outputs["loss_alone"]) < 1e-5


def test_greedy_labels_are_theirs(network):
    recognizer, outputs, name = network
    for search, limit in SEARCHES[name].items():
        for number in range(3):
            encoded, length = recognizer.model.encoder(alone(outputs, number)[0])
            (found,) = greedy_rnnt(recognizer.model, encoded, length, limit)
            assert found.labels == [label for label in outputs[f"{search}_{number}"].tolist() if label]
    assert recognizer.config.decoding.max_symbols == max(SEARCHES[name].values())


def test_waveforms_become_their_labels(network):
    recognizer, outputs, _ = network
    waveforms = tensorflowasr.arrays("features")
    for name in ("noise", "chirp", "tone"):
        if f"greedy_wave_{name}" in outputs:
            theirs = [LABELS[label - 1] for label in outputs[f"greedy_wave_{name}"].tolist() if label]
            found = recognizer.transcribe(waveforms[f"waveform/{name}"], 16000).tokens
            assert found == theirs and len(theirs) > 5


def test_a_training_step_is_theirs(folders):
    """Output, loss and gradients with the batch's own statistics, and the running statistics afterward."""
    recognizer, outputs = Recognizer.load(folders / "2.1.0-causal"), tensorflowasr.arrays("2.1.0-training")
    model, labels = recognizer.model.train(), tensorflowasr.arrays("2.1.0-causal")
    targets, counts = (torch.from_numpy(labels[key]).long() for key in ("labels", "label_lengths"))
    encoded, lengths = model.encoder(
        torch.from_numpy(outputs["features"]), torch.from_numpy(outputs["lengths"]).long()
    )
    assert off(encoded.detach(), outputs["encoder"]) < 1e-5
    logits = model.joint(encoded[:, :, None], model.prediction(targets)[:, None])
    loss = rnnt_loss(logits, targets, lengths, counts, blank=0)  # the mean over utterances
    assert loss.item() == pytest.approx(float(outputs["loss"]), rel=1e-5)
    loss.backward()
    weights, ours = expected_weights(model), dict(model.named_parameters()) | dict(model.named_buffers())
    compared = 0
    for key in outputs.files:
        place, _, name = key.partition("/")
        if place not in ("grad", "after"):
            continue
        for own, expected in weights[plain_name(name)].convert(torch.from_numpy(outputs[key])).items():
            if own.endswith("bias_hh_l0"):  # PyTorch's second bias, which Keras does not have
                continue
            found = ours[own].grad if place == "grad" else ours[own]
            compared += 1
            if own.endswith("pointwise.bias"):  # subtracted by the norm after it: zero but for rounding
                assert max(found.abs().max(), expected.abs().max()) < 1e-5
            else:
                assert off(found, expected) < 1e-3, own
    # Keras's running variance is biased, ours is not: n / (n - 1) apart, times one step's share of 0.01
    assert compared == sum(key.startswith(("grad/", "after/")) for key in outputs.files) > 150


@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is None, reason="needs onnxscript")
@pytest.mark.parametrize("name", ["2.1.0-same", "2021-same"])
def test_an_imported_network_is_exported(folders, tmp_path, name):
    """Padding from the length, zeros at the end, dB below the top: all of it is in the graph."""
    recognizer = Recognizer.load(folders / name)
    recognizer.config.decoding.beam_width = 0  # of 2021; an exported file searches greedily
    export(recognizer, tmp_path / "m.onnx", "onnx", seconds=[1])
    runner, waveforms = Runner.load(tmp_path / "m.onnx"), tensorflowasr.arrays("features")
    signals = [waveforms["waveform/noise"], waveforms["waveform/noise"][:100]]
    signals += [waveforms["waveform/tone"][:length] for length in (7999, 8161, 12345)]
    for signal in signals:
        found, expected = runner.transcribe(signal, 16000), recognizer.transcribe(signal, 16000)
        assert found.tokens == expected.tokens
        assert found.score == pytest.approx(expected.score, abs=1e-2)


def test_an_imported_network_is_tested_and_trained_further(folders, tmp_path):
    tiny.write_corpus(tmp_path / "corpus")
    letters = tmp_path / "letters.txt"
    letters.write_text("\n".join(" lowhigmdab") + "\n")
    import_network("2.1.0-same", tmp_path / "model", letters)
    imported = Recognizer.load(tmp_path / "model")
    cuts = load_corpus(tmp_path / "corpus", "test")
    assert len(evaluate(imported, cuts).rows) == 4
    settings = override(imported.config, ["training.max_steps=3", "training.max_lr=0.001"])
    trained = train(settings, cuts, tmp_path / "run", init=tmp_path / "model", show_progress=False)
    before, after = (dict(one.model.named_parameters()) for one in (imported, trained))
    apart = [float((before[name] - after[name]).detach().abs().max()) for name in before]
    assert sum(each > 0 for each in apart) > 50 and max(apart) < 0.1  # it began with the imported weights
    assert trained.tokenizer.labels == imported.tokenizer.labels


# ---- what does not fit ------------------------------------------------------------------------------------


@pytest.fixture
def changed(tmp_path, labels):
    """A function that imports a changed copy of a checkpoint."""
    usual = tensorflowasr.configuration("2.1.0-causal")

    def run(change=None, path=None, config=usual, labels=labels, generation="2.1"):
        if path is None:
            path = tmp_path / "changed.h5"
            shutil.copy(tensorflowasr.checkpoint("2.1.0-causal"), path)
            with h5py.File(path, "r+") as file:
                change(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_checkpoint(path, "tensorflowasr", tmp_path / "model", labels, config, generation)

    return run


def rename(group, old, new):
    names = [name if isinstance(name, str) else name.decode() for name in group.attrs["weight_names"]]
    group.attrs["weight_names"] = [new if name == old else name for name in names if new or name != old]


FC1, GAMMA = "contextnet/encoder/block_1/se/fc1/kernel:0", "contextnet/prediction/ln_0/gamma:0"


def missing(file):
    rename(file["encoder"], FC1, None)


def extra_weight(file):
    file["joint"]["contextnet/joint/ffn/bias:0"] = np.zeros(18, dtype=np.float32)
    names = list(file["joint"].attrs["weight_names"])
    file["joint"].attrs["weight_names"] = [*names, "contextnet/joint/ffn/bias:0"]


def misshapen(file):
    del file["prediction"][GAMMA]
    file["prediction"][GAMMA] = np.zeros(21, dtype=np.float32)


def not_a_number(file):
    file["encoder"][FC1][0, 0] = np.nan


def no_layers(file):
    del file.attrs["layer_names"]


@pytest.mark.parametrize(
    "change, message",
    [
        (missing, "it has no weight encoder/block_1/se/fc1/kernel, which the configuration asks for"),
        (extra_weight, "it has a weight joint/ffn/bias, which the configuration does not ask for"),
        (misshapen, "its weight prediction/ln_0/gamma is 21, but the configuration asks for 20"),
        (not_a_number, "its weight encoder/block_1/se/fc1/kernel is not finite"),
        (no_layers, "it has no layer_names; use a file that save_weights of Keras 2 wrote"),
    ],
)
def test_a_weight_that_does_not_fit_is_named(changed, change, message):
    with pytest.raises(InputError, match=message) as error:
        changed(change)
    assert "\n" not in str(error.value)


def test_files_that_are_no_checkpoint_are_refused(changed, tmp_path, labels):
    (tmp_path / "x.h5").write_bytes(b"no HDF5 file")
    with pytest.raises(InputError, match=r"x\.h5 is not a checkpoint of Keras"):
        changed(path=tmp_path / "x.h5")
    path = tensorflowasr.checkpoint("2.1.0-causal")
    with pytest.raises(InputError, match="give its file with --config FILE"):
        changed(path=path, config=None)
    with pytest.raises(InputError, match="only ContextNet transducers"):
        changed(path=path, config="conformer-digits", generation=None)
    with pytest.raises(InputError, match="key encoder.variant is 'paper'"):
        changed(path=path, config="contextnet-digits", generation=None)
    with pytest.raises(
        InputError, match="12 labels of its vocabulary that is there: give it with --tokenizer"
    ):
        changed(path=path, labels=None)
    (tmp_path / "few.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="tokenizer.vocabulary is 12, but the tokenizer has 3 labels"):
        changed(path=path, labels=tmp_path / "few.txt")


def test_a_list_of_tokens_is_the_vocabulary_even_if_it_is_shorter(changed, tmp_path):
    """The code of 2023 gives its network as many labels as the trainer was asked for, found or not."""
    config = tmp_path / "c.yml"
    text = tensorflowasr.configuration("2.1.0-causal").read_text()
    config.write_text(text.replace("type: characters", "type: wordpiece"))
    (tmp_path / "v.tokens").write_text("\n".join(["<pad>", "<unk>", "a", "be", "##d"]))
    path = tensorflowasr.checkpoint("2.1.0-causal")
    changed(path=path, config=config, labels=tmp_path / "v.tokens")
    recognizer = Recognizer.load(tmp_path / "model")
    assert recognizer.tokenizer.vocabulary == 12
    assert recognizer.tokenizer.encode("bed a bad") == [3, 4, 2, 1]


def test_names_that_keras_split_into_several_attributes_are_read(changed, tmp_path):
    def split(file):
        names = list(file["encoder"].attrs["weight_names"])
        del file["encoder"].attrs["weight_names"]
        file["encoder"].attrs["weight_names0"] = names[:50]
        file["encoder"].attrs["weight_names1"] = names[50:]

    changed(split)
    assert Recognizer.load(tmp_path / "model").config.tokenizer.vocabulary == 12
