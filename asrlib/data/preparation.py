"""From the unpacked files of a public corpus to cuts, through lhotse's recipes. Lesson 09.

Each ``*_cuts`` function but the first takes the corpus's folder and the parts to prepare, and returns the
cuts of each part. It may return further parts. A cut is one utterance, with its transcript as published.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrlib.data.download import disk_errors
from asrlib.data.grammar import DIGITS
from asrlib.extras import extra

if TYPE_CHECKING:  # importing lhotse takes seconds, so it happens inside the functions
    from lhotse import RecordingSet, SupervisionSet
    from lhotse.cut import Cut

FSDD = "free-spoken-digit-dataset-1.0.9"  # name of its archive, and of the folder inside


def utterance_cuts(recordings: RecordingSet, supervisions: SupervisionSet) -> list[Cut]:
    """Return a cut for each utterance, with the utterance's id, sorted by id.

    Recipes list folders unsorted. Recordings without words (noise, silence) are left out, because there is
    nothing to train on or to score.
    """
    with extra("train"):
        from lhotse import CutSet

    cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    cuts = cuts.trim_to_supervisions(keep_overlapping=False)
    cuts = [cut.with_id(cut.supervisions[0].id) for cut in cuts if cut.supervisions[0].text.strip()]
    return sorted(cuts, key=lambda cut: cut.id)


def librispeech_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of each of LibriSpeech's ``parts``, such as ``dev-clean``."""
    with extra("train"):
        from lhotse.recipes import prepare_librispeech

    cuts = {}
    for part in parts:
        root = folder / "unpacked" / part / "LibriSpeech"
        cuts[part] = utterance_cuts(
            **prepare_librispeech(root, dataset_parts=part, num_jobs=os.cpu_count() or 1)[part]
        )
    return cuts


def mini_librispeech_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of ``train``, ``dev`` and ``test`` of Mini LibriSpeech.

    The corpus has no test set. Every other speaker of its dev-clean-2 is moved to ``test``.
    """
    cuts = librispeech_cuts(folder, ["train-clean-5", "dev-clean-2"])
    held_out = cuts["dev-clean-2"]
    to_test = set(sorted({cut.supervisions[0].speaker for cut in held_out})[1::2])
    return {
        "train": cuts["train-clean-5"],
        "dev": [cut for cut in held_out if cut.supervisions[0].speaker not in to_test],
        "test": [cut for cut in held_out if cut.supervisions[0].speaker in to_test],
    }


def speech_commands_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of ``train``, ``dev`` and ``test`` of Speech Commands.

    ``test`` is the published test set of 12 classes. ``train`` leaves out the recordings of
    ``testing_list.txt``.
    """
    with extra("train"):
        from lhotse.recipes import prepare_speechcommands

    made = prepare_speechcommands("2", folder / "unpacked")
    names = {"train": "train", "dev": "valid", "test": "test"}
    return {part: utterance_cuts(**made[name]) for part, name in names.items()}


def tedlium_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of each of TED-LIUM 3's ``parts``, without noise marks and ``<unk>``."""
    with extra("train"):
        from lhotse.audio.backend import audio_backend
        from lhotse.recipes import prepare_tedlium

    root = folder / "unpacked" / "TEDLIUM_release-3" / "TEDLIUM_release-3"
    # for .sph files lhotse chooses a program that is not installed; these are plain PCM, as libsndfile reads
    with audio_backend("LibsndfileBackend"):
        # "kaldi" joins "they 're" into one word and removes [NOISE] and <unk>
        made = prepare_tedlium(root, dataset_parts=parts, normalize_text="kaldi")
    return {part: utterance_cuts(**made[part]) for part in parts}


def yesno_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of ``train``, ``dev`` and ``test`` of YesNo, which has one speaker.

    lhotse halves the 60 recordings into train and test. Every sixth of its train is moved to ``dev``.
    """
    with extra("train"):
        from lhotse.recipes import prepare_yesno

    made = prepare_yesno(folder / "unpacked" / "waves_yesno" / "waves_yesno")
    train, test = (utterance_cuts(**made[half]) for half in ("train", "test"))
    return {"train": [cut for n, cut in enumerate(train) if n % 6], "dev": train[::6], "test": test}


def fsdd_cuts(folder: Path, parts: Sequence[str]) -> dict[str, list]:
    """Return the cuts of ``train``, ``dev`` and ``test`` of the Free Spoken Digit Dataset.

    Files are named DIGIT_SPEAKER_INDEX.wav. Indices 0 to 4 are ``test``, as the corpus's README says; 5 to 9
    are ``dev``. This also writes a ``manifest.tsv``: ``asrlib.load_corpus(folder)`` splits the folder by
    speaker.
    """
    with extra("train"):
        from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet

    recordings, supervisions, rows = [], [], ["path\tspeaker\tseconds\ttext"]
    for path in sorted((folder / "unpacked" / FSDD / FSDD / "recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        recording, text = Recording.from_file(path), DIGITS[int(digit)]
        recordings.append(recording)
        supervisions.append(
            SupervisionSegment(
                path.stem, path.stem, 0.0, recording.duration, text=text, speaker=speaker, language="English"
            )
        )
        rows.append(f"{path.relative_to(folder)}\t{speaker}\t{recording.duration:.3f}\t{text}")
    part = folder / "manifest.tsv.part"
    with disk_errors(f"writing {folder / 'manifest.tsv'}", part):
        part.write_text("\n".join(rows) + "\n", encoding="utf-8")
        os.replace(part, folder / "manifest.tsv")
    cuts: dict[str, list] = {"train": [], "dev": [], "test": []}
    made = RecordingSet.from_recordings(recordings), SupervisionSet.from_segments(supervisions)
    for cut in utterance_cuts(*made):
        index = int(cut.id.split("_")[2])
        cuts["test" if index < 5 else "dev" if index < 10 else "train"].append(cut)
    return cuts
