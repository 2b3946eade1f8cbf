"""An exported model in its own runtime, onnxruntime or LiteRT: what the file says, as hypotheses.

Lesson 12.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import logging
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torchaudio.functional

from asrlib.decoding.streaming import StreamingResampler
from asrlib.errors import InputError
from asrlib.recognizer import Hypothesis
from asrlib.text.tokenizers import Tokenizer, load_tokenizer

FORMATS = ("onnx", "tflite")
_NEEDED = {
    "onnx": ("export", ("onnx", "onnxscript", "onnxruntime")),
    "tflite": ("tflite", ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")),
}


class Runner:
    """An exported file in its own runtime: ``Runner.load("model.onnx").transcribe(audio)``."""

    def __init__(
        self,
        about: dict[str, Any],
        run: Callable[..., dict[str, np.ndarray]],
        lengths: list[int],
        start: dict,
    ):
        self.about, self.sample_rate = about, about["sample_rate"]
        self.tokenizer = _tokenizer(about["tokenizer"])
        self.run, self.start, self._lengths = run, start, lengths

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> Runner:
        """Raises ``InputError`` where the file is missing or was not written by ``export``."""
        path = Path(path)
        check_format(path.suffix.lstrip("."))
        if not path.is_file():
            raise InputError(f"there is no file {path}")
        try:
            return cls.from_bytes(path.read_bytes(), path.suffix.lstrip("."), threads)
        except InputError as error:
            raise InputError(f"{path} {error}") from None

    @classmethod
    def from_bytes(cls, content: bytes, format: str, threads: int = 1) -> Runner:
        """The same from a file's content."""
        return (_open_onnx if format == "onnx" else _open_tflite)(content, threads)

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Hypothesis:
        """One utterance: a path to an audio file, or mono samples in [-1, 1] with their rate."""
        samples = mono_samples(audio, sample_rate, self.sample_rate)
        if self.about["stream"]:
            stream = self.stream()
            stream.feed(samples)
            return stream.finish()
        samples = np.pad(samples, (0, max(0, self.about["shortest"] - len(samples))))
        return self.hypothesis(**self._search(samples))

    def stream(self, sample_rate: int | None = None) -> RunnerStream:
        """To transcribe speech while it is spoken; ``sample_rate`` is that of the samples to come,
        the model's own if None. Raises ``InputError`` if the file was not made for it.
        """
        if not self.about["stream"]:
            raise InputError("this file takes whole utterances: export the model with --stream")
        return RunnerStream(self, sample_rate or self.sample_rate)

    def _search(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        if not self._lengths:
            return self.run("offline", signal=samples)
        room = [n for n in self._lengths if len(samples) <= n * self.sample_rate]
        if not room:
            raise InputError(
                f"the audio lasts {len(samples) / self.sample_rate:.1f} s, and the file takes at most"
                f" {self._lengths[-1]} s: export it with a longer --seconds"
            )
        signal = np.pad(samples, (0, room[0] * self.sample_rate - len(samples)))
        length = np.array([len(samples)], dtype=np.int32)
        found = self.run(f"seconds_{room[0]}", signal=signal, length=length)
        if self.about["head"] == "ctc":
            return found
        return self._transduce(found["hidden"], int(found["frames"][0]))

    def _transduce(self, hidden: np.ndarray, frames: int) -> dict[str, np.ndarray]:
        """The loop of ``GreedyTransducer``, around two signatures."""
        grid = (frames, self.about["max_symbols"])
        tokens, log_probs = np.zeros(grid, dtype=np.int32), np.zeros(grid, dtype=np.float32)
        score = np.zeros(1)
        state = self.run("predict", **self.start)
        for frame in range(frames):
            for symbol in range(grid[1] + 1):
                found = self.run("join", hidden=hidden[frame : frame + 1], predicted=state["predicted"])
                if found["label"][0] == 0 or symbol == grid[1]:
                    score += found["blank_log_prob"]
                    break
                tokens[frame, symbol], log_probs[frame, symbol] = found["label"][0], found["log_prob"][0]
                score += found["log_prob"]
                del state["predicted"]
                state = self.run("predict", label=found["label"], **state)
        return {"tokens": tokens, "log_probs": log_probs, "score": score}

    def hypothesis(self, tokens: np.ndarray, log_probs: np.ndarray, score: np.ndarray) -> Hypothesis:
        emitted = tokens > 0
        labels = tokens[emitted].tolist()
        return Hypothesis(
            text=self.tokenizer.decode(labels),
            tokens=[self.tokenizer.labels[label - 1] for label in labels],
            times=[frame * self.about["frame_seconds"] for frame in np.nonzero(emitted)[0].tolist()],
            score=float(score[0]),
            confidences=np.exp(log_probs[emitted]).tolist(),
        )


class RunnerStream:
    """One utterance in chunks of any size: ``feed`` each of them, then ``finish``, as with
    ``Recognizer.stream``. An encoder frame is made when all samples of its chunk are there.
    """

    def __init__(self, runner: Runner, sample_rate: int):
        self.runner, self.state, self.found = runner, dict(runner.start), []
        self._resampler = StreamingResampler(sample_rate, runner.sample_rate)
        self._buffer, self._seen, self._finished = np.zeros(1, dtype=np.float32), 0, False
        self.overlap, self.chunk = runner.about["overlap"], runner.about["chunk"]

    def feed(self, samples: Any) -> Hypothesis:
        """What is heard up to here; ``samples`` are mono, in [-1, 1], as many as there are."""
        chunk = torch.as_tensor(np.asarray(samples, dtype=np.float32))
        if chunk.dim() != 1:
            raise InputError(f"audio has shape {tuple(chunk.shape)}; expected one row of mono samples")
        if self._finished:
            raise InputError("this stream is finished: call Runner.stream() for the next utterance")
        return self._advance(self._resampler.feed(chunk).numpy())

    def finish(self) -> Hypothesis:
        """What was heard, nothing more being to come."""
        if self._finished:
            return self._hypothesis()
        self._advance(self._resampler.finish().numpy())
        self._finished = True
        hop, window = self.runner.about["hop"], self.runner.about["shortest"]
        frames = 1 + max(self._seen - window, 0) // hop if self._seen else 0
        missing = -(-frames * hop // self.chunk) - len(self.found)
        return self._advance(np.zeros(missing * self.chunk + self.overlap, dtype=np.float32), missing)

    def _advance(self, samples: np.ndarray, most: int | None = None) -> Hypothesis:
        """At most so many encoder frames further."""
        self._buffer = np.concatenate([self._buffer, samples])
        self._seen += len(samples)
        size = self.overlap + self.chunk
        while len(self._buffer) >= size and (most is None or most > 0):
            found = self.runner.run("stream", signal=self._buffer[:size], **self.state)
            self.found.append([found[name] for name in ("tokens", "log_probs", "score")])
            self.state = {name: found[f"{name}_after"] for name in self.state}
            self._buffer = self._buffer[self.chunk :]
            most = None if most is None else most - 1
        return self._hypothesis()

    def _hypothesis(self) -> Hypothesis:
        grid = (0, self.runner.about["max_symbols"])
        empty = [np.zeros(grid, dtype=np.int32), np.zeros(grid, dtype=np.float32), np.zeros(1)]
        tokens, log_probs, score = (np.concatenate(x) for x in zip(empty, *self.found, strict=True))
        return self.runner.hypothesis(tokens, log_probs, score.sum(keepdims=True))


def mono_samples(audio: Any, sample_rate: int | None, wanted: int) -> np.ndarray:
    """What ``Recognizer.transcribe`` takes, as float32 samples at the rate ``wanted``."""
    if isinstance(audio, (str, Path)):
        from asrlib.data.audio import read_audio

        audio, sample_rate = read_audio(audio)
    if sample_rate is None:
        raise InputError("sample_rate is missing: samples alone do not say how fast they are to be played")
    samples = torch.as_tensor(np.asarray(audio, dtype=np.float32))
    if samples.dim() != 1 or samples.numel() == 0:
        raise InputError(
            f"audio has shape {tuple(samples.shape)}; expected one row of mono samples, not empty"
        )
    if sample_rate != wanted:
        samples = torchaudio.functional.resample(samples, sample_rate, wanted)
    return samples.numpy()


def _open_onnx(content: bytes, threads: int) -> Runner:
    runtime = package("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        about = json.loads(session.get_modelmeta().custom_metadata_map["asrlib"])
    except Exception as error:  # the runtime has a class of its own for each reason
        raise InputError(f"is not an exported model: {error}") from None
    names = [output.name for output in session.get_outputs()]
    types = {"tensor(int32)": np.int32, "tensor(float)": np.float32, "tensor(double)": np.float64}
    start = {
        node.name: np.zeros(node.shape, types[node.type])
        for node in session.get_inputs()
        if node.name.startswith("state_")
    }

    def run(_: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return Runner(about, run, [], start)


def _open_tflite(content: bytes, threads: int) -> Runner:
    interpreters = package("ai_edge_litert.interpreter", "tflite")
    try:
        about = json.loads(zipfile.ZipFile(io.BytesIO(content)).read("asrlib.json"))
        interpreter = interpreters.Interpreter(model_content=content, num_threads=threads)
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"is not an exported model: {error}") from None
    signatures: dict[str, Any] = {}

    def run(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if name not in signatures:
            signatures[name] = interpreter.get_signature_runner(name)
        # scalars come back as numbers
        return {key: np.asarray(value) for key, value in signatures[name](**inputs).items()}

    names = interpreter.get_signature_list()
    lengths = sorted(int(name.partition("_")[2]) for name in names if name.startswith("seconds_"))
    start = {}
    for name in {"predict", "stream"} & set(names):
        inputs = interpreter.get_signature_runner(name).get_input_details()
        start = {key: np.zeros(of["shape"], of["dtype"]) for key, of in inputs.items() if key != "signal"}
    return Runner(about, run, lengths, start)


def _tokenizer(files: dict[str, str]) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, Path(name).name).write_bytes(base64.b64decode(content))
        return load_tokenizer(folder)


def check_format(format: str) -> None:
    """``InputError`` if there is no such format, or if its packages are not installed."""
    if format not in FORMATS:
        raise InputError(f"format is {format!r}; use one of {', '.join(FORMATS)}")
    for name in _NEEDED[format][1]:
        package(name, format)


def package(name: str, format: str) -> ModuleType:
    with quiet():
        try:
            return importlib.import_module(name)
        except ImportError:
            extra, names = _NEEDED[format]
            raise InputError(
                f"{format} needs {', '.join(names).replace('_', '-')}, and {name.replace('_', '-')} is not"
                f' installed: pip install "asrlib[{extra}]"'
            ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The converters narrate; what goes wrong they raise."""
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), _nothing_printed():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
