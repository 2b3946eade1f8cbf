"""The format is told by what a file begins with; what is not read is named."""

import io

import pytest
import soundfile
from folders import fails
from soundfiles import encoded, id3v2, mp3, speechlike, without_xing

from asrlib.data.containers.formats import sound_pieces

READ = {
    "WAV": "WAV",
    "WAVEX": "WAV",
    "RF64": "WAV",
    "FLAC": "FLAC",
    "OGG": "OGG",
    "MP3": "MP3",
    "NIST": "SPHERE",
}


@pytest.mark.parametrize("kind", READ)
def test_what_is_read(kind):
    data = encoded(speechlike(0.5), format=kind)
    name, pieces = sound_pieces(io.BytesIO(data), None, "a")
    assert name == READ[kind] and sum(piece.samples for piece in pieces) == 8_000


def test_tags_and_bare_frames():
    for data, name in (
        (id3v2() + encoded(speechlike(0.5), format="FLAC"), "FLAC"),
        (id3v2() + mp3(speechlike(0.5)), "MP3"),
        (without_xing(mp3(speechlike(0.5))), "MP3"),
    ):
        assert sound_pieces(io.BytesIO(data), None, "a")[0] == name


@pytest.mark.parametrize(
    "kind, name",
    [("AIFF", "AIFF"), ("AU", "AU"), ("CAF", "CAF"), ("W64", "W64"), ("VOC", "VOC"), ("SVX", "AIFF"),
     ("PAF", "not known"), ("IRCAM", "not known")],
)  # fmt: skip
def test_what_libsndfile_reads_but_nobody_checks_is_refused(kind, name):
    assert kind in soundfile.available_formats()
    data = encoded(speechlike(0.5), format=kind, subtype="PCM_16")
    fails(f"a: cannot be read as audio, .*{name}.*; give WAV", sound_pieces, io.BytesIO(data), None, "a")


@pytest.mark.parametrize(
    "begin, name",
    [
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"\0\0\0\x14ftypqt  ", "QuickTime"),
        (b"\0\0\0\x18ftyp3gp4", "3GP"),
        (b"\x1aE\xdf\xa3\x9f", "Matroska"),
        (b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
        (b"#!AMR\n", "AMR"),
        (b"\xff\xf1\x50\x80", "AAC"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"wvPk", "WavPack"),
        (b"MThd\0\0\0\6", "MIDI"),
        (b"\x89PNG\r\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"PK\3\4", "ZIP"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html><title>Not found</title>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b'{"error": "not found"}', "text"),
        (b"These are words, not sounds.\n", "text"),
        (bytes(100), "not known"),
        (bytes(range(128, 256)), "not known"),
        ("Wörter".encode("utf-16"), "not known"),
    ],
)  # fmt: skip
def test_other_files_are_named(begin, name):
    data = begin * (5000 // len(begin))
    fails(f"a: cannot be read as audio, .*{name}", sound_pieces, io.BytesIO(data), None, "a")
