"""A recognizer that spells: its CTC head emits the labels that the samples hold, frame by frame."""

import torch
from torch import nn

from asrlib.config.parse import parse_config
from asrlib.models.encoder import Encoder
from asrlib.models.transducer import Transducer
from asrlib.recognizer import Recognizer
from asrlib.text.lexicon import Lexicon
from asrlib.text.tokenizers import PhoneTokenizer

PHONES = ["AA", "B", "G", "N", "OW", "S", "T"]
LEXICON = Lexicon(
    {"go": [["G", "OW"]], "no": [["N", "OW"]], "oh": [["OW"]], "on": [["AA", "N"], ["OW", "N"]]}
)
CONFIG = """
features: {sample_rate: 4000, window_ms: 2.5, hop_ms: 2.5, mels: 4}
tokenizer: {kind: phones, vocabulary: 8, lexicon: cmudict}
prediction: null
joint: null
training: {ctc_weight: 1.0}
decoding: {words: [go, "no", oh, "on"]}
"""


class _Reader(Encoder):
    """One frame per ten samples, whose value says which label is probable."""

    dim, reduction = 8, 1

    def forward(self, features, lengths=None):
        labels = features[..., 0].round().long()
        return 5.0 * nn.functional.one_hot(labels, 8).float(), lengths


def recognizer():
    """A recognizer of four words; `samples` makes what it hears."""
    model = Transducer(_Reader(), None, None, nn.Identity(), ctc_weight=1.0)
    heard = Recognizer(parse_config(CONFIG, "spoken.yml"), model, PhoneTokenizer(PHONES, LEXICON))
    heard.front_end = _loudness
    return heard


def _loudness(waveforms, lengths, warp=None):
    """Features (batch, frames, 1): the largest of each ten samples, and lengths in frames."""
    frames = waveforms[:, : waveforms.shape[1] // 10 * 10].unflatten(1, (-1, 10)).amax(2, keepdim=True)
    return frames * 8, lengths // 10


def samples(phones):
    """Samples at 4,000 Hz in which each of the phones lasts a frame, ``-`` being blank."""
    labels = [0 if phone == "-" else 1 + PHONES.index(phone) for phone in phones.split()]
    return torch.tensor(labels).repeat_interleave(10) / 8
