"""Record the outputs of ``lessons-model`` on the shipped clips, for the checkers of assignments 06 and 11.

    python tools/prepare_posteriors.py [FILE]  # default: asrlib/teaching/exercise_data/posteriors.safetensors

Run it only to set new thresholds: the assignments' figures (06.word_times, 11.hear) belong to the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from asrlib.data.audio import cut_audio
from asrlib.data.corpora import clips
from asrlib.recognizer import Recognizer
from asrlib.signal.augment import add_noise
from asrlib.signal.resample import resample
from asrlib.teaching.exercise_data.posteriors import POSTERIORS

WARPS = torch.tensor([0.88, 0.94, 1.0, 1.06, 1.12])


@torch.no_grad()
def posteriors() -> dict[str, torch.Tensor]:
    """Return the CTC head's natural log probabilities in 16 bits, and the spoken labels (U,), of each clip.

    Clean ones are (T, V); noisy ones (6, 5, T, V), six noises by five lengths of the vocal tract.
    """
    recognizer, found = Recognizer.load("lessons-model"), {}
    rate = recognizer.config.features.sample_rate

    def log_probs(waves, warps=None):
        features, lengths = recognizer.front_end(waves, torch.tensor([waves.shape[1]] * len(waves)), warps)
        encoder_out, _ = recognizer.model.encoder(features, lengths)
        return recognizer.model.ctc_head(encoder_out).log_softmax(-1).half()

    for cut in clips():
        if "digits" not in cut.id:
            continue
        wave = resample(torch.from_numpy(cut_audio(cut)), cut.sampling_rate, rate)[None]
        length, noisy = torch.tensor([wave.shape[1]]), []
        for seed in range(6):
            g = torch.Generator().manual_seed(seed)
            noisy.append(add_noise(wave, length, torch.tensor([-4.0]), torch.zeros(1), g))
        found[f"{cut.id} clean"] = log_probs(wave)[0]
        found[f"{cut.id} noisy"] = torch.stack([log_probs(x.expand(5, -1), WARPS) for x in noisy])
        found[f"{cut.id} labels"] = torch.tensor(recognizer.tokenizer.encode(cut.supervisions[0].text))
    found["frame seconds"] = torch.tensor(recognizer.frame_seconds, dtype=torch.float64)
    return found


if __name__ == "__main__":
    save_file(posteriors(), Path(sys.argv[1]) if len(sys.argv) > 1 else POSTERIORS)
