"""Tell formats by the first bytes of a file, whatever its name ends with, and find its streams."""

from __future__ import annotations

from io import BufferedIOBase

from asrlib.data.containers.flac import flac_pieces
from asrlib.data.containers.mpeg import mpeg_pieces
from asrlib.data.containers.ogg import ogg_pieces
from asrlib.data.containers.piece import Piece
from asrlib.data.containers.wav import sphere_pieces, wav_pieces
from asrlib.errors import InputError

_REMEDY = "give WAV, FLAC, OGG or MP3"
# what is not read: where its mark stands, the mark, and its name
_OTHERS = (
    (8, b"AVI ", "AVI video"),
    (4, b"ftypqt", "QuickTime (MOV)"),
    (4, b"ftyp3g", "3GP"),
    (4, b"ftyp", "MPEG-4 (M4A, MP4)"),
    (0, b"FORM", "AIFF"),
    (0, b".snd", "Sun audio (AU)"),
    (0, b"caff", "Core Audio (CAF)"),
    (0, b"riff\x2e\x91\xcf\x11", "Wave64 (W64)"),
    (0, b"BW64", "Broadcast Wave 64"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"\x1aE\xdf\xa3", "Matroska (WebM, MKV)"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media (WMA)"),
    (0, b"#!AMR", "AMR"),
    (0, b"#!SILK", "SILK"),
    (0, b"\x02#!SILK", "SILK"),
    (0, b"ADIF", "AAC"),
    (0, b"MAC ", "Monkey's Audio (APE)"),
    (0, b"wvPk", "WavPack"),
    (0, b"TTA1", "True Audio (TTA)"),
    (0, b"MPCK", "Musepack"),
    (0, b"MP+", "Musepack"),
    (0, b"ajkg", "Shorten"),
    (0, b".RMF", "RealAudio"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b"MThd", "MIDI, which has notes but no sound"),
    (0, b"FLV", "Flash video"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"%PDF", "PDF"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"version https://git-lfs", "a Git LFS pointer; run git lfs pull"),
)


def sound_pieces(file: BufferedIOBase, path: str | None, name: str) -> tuple[str, list[Piece]]:
    """Return the format of a file, and its streams, in order.

    ``path`` is where the file is, or None if it is in memory; ``name`` is for messages. Raises ``InputError``
    for another format than WAV, FLAC, Ogg (Vorbis or Opus), MP3 and NIST SPHERE, and for a file that is
    truncated or damaged. `soundfile.SoundFileError` says that libsndfile cannot read it.
    """
    file.seek(0)
    begin = file.read(64)
    kind = begin[:4]
    if kind in (b"RIFF", b"RIFX", b"RF64") and begin[8:12] == b"WAVE":
        return "WAV", wav_pieces(file, path, name)
    if kind == b"OggS":
        return "OGG", ogg_pieces(file, name)
    if kind == b"fLaC" or _tagged(file, begin) == b"fLaC":
        return "FLAC", flac_pieces(file, name)
    if begin[:7] == b"NIST_1A":
        return "SPHERE", sphere_pieces(file, path, name)
    if other := _other(begin):
        raise InputError(f"{name}: cannot be read as audio, this is {other}; {_REMEDY}")
    pieces = mpeg_pieces(file, name)
    if not pieces:
        raise InputError(f"{name}: cannot be read as audio, its format is not known; {_REMEDY}")
    return "MP3", pieces


def _tagged(file: BufferedIOBase, begin: bytes) -> bytes:
    """Return the four bytes behind an ID3 tag at the start of a file."""
    if begin[:3] != b"ID3" or len(begin) < 10:
        return b""
    a, b, c, d = begin[6:10]
    file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
    return file.read(4)


def _other(begin: bytes) -> str:
    """Return the name of a format that is not read, or ""."""
    for place, mark, name in _OTHERS:
        if begin[place : place + len(mark)] == mark:
            return name
    if len(begin) > 1 and begin[0] == 0xFF and begin[1] & 0xF6 == 0xF0:
        return "AAC"
    text = begin.decode("latin-1").lstrip("\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html")):
        return "a web page (HTML)"
    if begin.isascii() and "".join(text.split()).isprintable():
        return "text"
    return ""
