"""Run an exported model in onnxruntime or LiteRT and return hypotheses.

Lesson 12b.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asrlib.decoding.hypothesis import Hypothesis, SearchResult
from asrlib.errors import InputError
from asrlib.export.description import described_tokenizer
from asrlib.export.formats import OpenFile, check_format
from asrlib.export.onnx_file import open_onnx
from asrlib.export.tflite_file import open_tflite
from asrlib.recognizer import mono_samples
from asrlib.signal.frame_times import FrameTimes
from asrlib.signal.resample import check_rate, resample
from asrlib.signal.streaming import StreamingResampler, mono_chunk


class Runner:
    """A recognizer from an exported file: ``Runner.load("model.onnx").transcribe(audio)``.

    ``about`` is the description in the file; ``sample_rate`` is the model's, in Hz.
    """

    def __init__(self, file: OpenFile):
        self.about, self.sample_rate = file.about, file.about["sample_rate"]
        self.tokenizer = described_tokenizer(file.about)
        self.run, self.start, self._lengths = file.run, file.start, file.lengths

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> Runner:
        """Open an exported file; its suffix is its format, ``.onnx`` or ``.tflite``.

        Raises ``InputError`` if the file is missing or was not written by ``export``, or if the packages of
        its format are not installed.
        """
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
        """Open the content of an exported file in ``format``.

        Raises ``InputError`` if ``export`` did not write it.
        """
        return cls((open_onnx if format == "onnx" else open_tflite)(content, threads))

    def transcribe(self, audio: Any, sample_rate: int | None = None) -> Hypothesis:
        """Transcribe one utterance: an audio file, or mono samples in [-1, 1] with their rate in Hz.

        Raises ``InputError`` for audio longer than a TFLite file accepts, and for what ``mono_samples``
        refuses.
        """
        samples = samples_at(self.sample_rate, audio, sample_rate)
        if self.about["stream"]:
            stream = self.stream()
            stream.feed(samples)
            return stream.finish()
        if not self.about.get("pad_end"):  # else the graph itself completes windows
            least = self.about["shortest"] - self.about.get("tail", 0)  # which the graph appends
            samples = np.pad(samples, (0, max(0, least - len(samples))))
        return self.hypothesis(**self._search(samples))

    def stream(self, sample_rate: int | None = None) -> RunnerStream:
        """Return a stream, which transcribes speech while it is spoken.

        ``sample_rate`` is the rate of the samples in Hz; None is the model's own. Raises ``InputError`` if
        the file was exported without ``stream``.
        """
        if not self.about["stream"]:
            raise InputError("this file takes whole utterances: export the model with --stream")
        return RunnerStream(self, self.sample_rate if sample_rate is None else check_rate(sample_rate))

    def _search(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        if not self._lengths:
            return self.run("offline", signal=samples)
        room = [n for n in self._lengths if len(samples) <= n * self.sample_rate]
        if not room:
            raise InputError(
                f"the audio lasts {len(samples) / self.sample_rate:.1f} s, but the file accepts at most"
                f" {self._lengths[-1]} s: export it with a longer --seconds"
            )
        signal = np.pad(samples, (0, room[0] * self.sample_rate - len(samples)))
        length = np.array([len(samples)], dtype=np.int32)
        found = self.run(f"seconds_{room[0]}", signal=signal, length=length)
        if self.about["head"] == "ctc":
            return found
        return self._transduce(found["hidden"], int(found["frames"][0]))

    def _transduce(self, hidden: np.ndarray, frames: int) -> dict[str, np.ndarray]:
        """Perform the loop of ``GreedyTransducer`` with the signatures ``predict`` and ``join``."""
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
        """Return the hypothesis for the outputs of a file: (frames, symbols) twice, and a (1,) score."""
        emitted = tokens > 0
        labels, frames = tokens[emitted].tolist(), np.nonzero(emitted)[0].tolist()
        result = SearchResult(labels, frames, log_probs[emitted].tolist(), float(score[0]))
        half_window = self.about["shortest"] / self.about["sample_rate"] / 2
        frame_times = FrameTimes(self.about["frame_seconds"], half_window)
        return Hypothesis.from_search(result, self.tokenizer, frame_times)


class RunnerStream:
    """Recognition of one utterance in chunks of any size, as with ``Recognizer.stream``.

    Call ``feed`` for each chunk, then ``finish``. An encoder frame is computed when all of its samples have
    arrived.
    """

    def __init__(self, runner: Runner, sample_rate: int):
        self.runner, self.state, self.found = runner, dict(runner.start), []
        self._resampler = StreamingResampler(sample_rate, runner.sample_rate)
        self._buffer, self._seen, self._finished = np.zeros(1, dtype=np.float32), 0, False
        self.overlap, self.chunk = runner.about["overlap"], runner.about["chunk"]

    def feed(self, samples: Any) -> Hypothesis:
        """Process the next samples and return the hypothesis so far.

        ``samples`` is a mono array or tensor of any length, with values in [-1, 1]. Raises
        ``InputError`` for more than one channel, and after ``finish``.
        """
        chunk = mono_chunk(samples)
        if self._finished:
            raise InputError("this stream is finished: call Runner.stream() for the next utterance")
        return self._advance(self._resampler.feed(chunk).numpy())

    def finish(self) -> Hypothesis:
        """End the utterance and return the final hypothesis."""
        if self._finished:
            return self._hypothesis()
        about = self.runner.about
        self._advance(self._resampler.finish().numpy())
        if self._seen:
            self._advance(np.zeros(about.get("tail", 0), dtype=np.float32))
        self._finished = True
        hop, window, fading = about["hop"], about["shortest"], 0.0
        frames = 1 + max(self._seen - window, 0) // hop if self._seen else 0
        if about.get("pad_end"):
            # windows reach past the end, where the signal is zero after pre-emphasis: before it, it fades
            frames, fading = -(-self._seen // hop), about["preemphasis"]
        missing = -(-frames * hop // self.chunk) - len(self.found)
        tail = self._buffer[-1] * fading ** np.arange(1.0, 1 + missing * self.chunk + self.overlap)
        return self._advance(tail.astype(np.float32), missing)

    def _advance(self, samples: np.ndarray, most: int | None = None) -> Hypothesis:
        """Process the complete encoder frames, at most ``most`` of them."""
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


def samples_at(rate: int, audio: Any, sample_rate: int | None) -> np.ndarray:
    """Return an audio file, or samples with their rate in Hz, as mono float32 samples at ``rate`` Hz.

    Raises ``InputError`` as ``mono_samples`` does.
    """
    samples, own = mono_samples(audio, sample_rate)
    return resample(samples, own, rate).numpy()
