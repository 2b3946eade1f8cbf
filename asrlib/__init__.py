"""asrlib: the library of an interactive course on end-to-end speech recognition.

The packages follow the data: signal, text, data, models, losses, decoding. Around them are config, training,
export, bench and teaching. This module collects the names that notebooks use.
"""

from asrlib.config.parse import load_config
from asrlib.config.schema import Config
from asrlib.data.audio import cut_audio, read_audio
from asrlib.data.connected import connected_digits
from asrlib.data.corpora import clips, load_corpus
from asrlib.data.human_clips import human_clips
from asrlib.decoding.hypothesis import Hypothesis
from asrlib.errors import InputError
from asrlib.losses.alignment import ctc_align, rnnt_align
from asrlib.losses.ctc import ctc_loss
from asrlib.losses.joint import joint_rnnt_loss
from asrlib.losses.rnnt import rnnt_loss
from asrlib.metrics import char_error_rate, phone_error_rate, word_error_rate
from asrlib.models.build import build_model
from asrlib.models.parameters import count_parameters
from asrlib.recognizer import Recognizer
from asrlib.signal.features import FrontEnd, log_mel

__version__ = "0.1.0"

__all__ = [
    "Config",
    "FrontEnd",
    "Hypothesis",
    "InputError",
    "Recognizer",
    "build_model",
    "char_error_rate",
    "clips",
    "connected_digits",
    "count_parameters",
    "ctc_align",
    "ctc_loss",
    "cut_audio",
    "human_clips",
    "joint_rnnt_loss",
    "load_config",
    "load_corpus",
    "log_mel",
    "phone_error_rate",
    "read_audio",
    "rnnt_align",
    "rnnt_loss",
    "word_error_rate",
]
