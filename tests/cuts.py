"""Cuts without a recording behind them."""

from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment


def utterance(key, seconds, text="low", path="nowhere.wav", rate=8000):
    samples = round(seconds * rate)
    recording = Recording(key, [AudioSource("file", [0], str(path))], rate, samples, samples / rate)
    supervision = SupervisionSegment(key, key, 0.0, samples / rate, text=text)
    return MonoCut(key, 0.0, samples / rate, 0, supervisions=[supervision], recording=recording)
