"""asrlib.data.clip: short names for an utterance's text, times and samples."""

import pickle

import numpy as np
import pytest
from lhotse import CutSet
from lhotse.cut import MonoCut

import asrlib
from asrlib.data.clip import Clip


@pytest.fixture(scope="module")
def clip():
    return asrlib.clips()["audio/digits-3.flac"]


def test_accessors_say_what_lhotse_holds(clip):
    supervision = clip.supervisions[0]
    assert clip.text == supervision.text == "five five six"
    assert clip.speaker == "en-us+r2016"
    assert [word for word, _, _ in clip.words] == clip.text.split()
    for kind, spans in (("word", clip.words), ("phone", clip.phones)):
        assert spans == [(i.symbol, i.start, i.end) for i in supervision.alignment[kind]]
        assert all(0 < start < end < clip.duration for _, start, end in spans)
    assert clip.audio.dtype == np.float32 and len(clip.audio) == clip.num_samples
    np.testing.assert_array_equal(clip.audio, asrlib.cut_audio(clip))


def test_what_is_made_of_a_clip_is_a_clip(clip):
    for other in (clip.with_id("another"), pickle.loads(pickle.dumps(clip))):
        assert isinstance(other, Clip) and other.text == clip.text and other.words == clip.words


def test_lhotse_stores_it_as_its_own_cut(clip, tmp_path):
    CutSet.from_cuts([clip]).to_file(tmp_path / "cuts.jsonl")
    [read] = CutSet.from_file(tmp_path / "cuts.jsonl")
    assert type(read) is MonoCut and read.id == clip.id
    assert read.supervisions[0].alignment == clip.supervisions[0].alignment


def test_strings_of_digits_are_clips():
    strings = asrlib.connected_digits(
        CutSet.from_cuts(
            [clip for clip in asrlib.load_corpus("digits", "test") if len(clip.text.split()) == 1]
        ),
        n=2,
    )
    for clip in strings:
        assert [word for word, _, _ in clip.words] == clip.text.split()


def test_times_that_are_not_there(clip):
    bare = clip.map_supervisions(lambda s: s.with_alignment("word", [])).with_id("bare")
    bare.supervisions[0].alignment = None
    with pytest.raises(asrlib.InputError, match="bare: the corpus has no word times; align"):
        _ = bare.words
