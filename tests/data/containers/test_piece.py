"""A part of a file as a file."""

import io
import os

import numpy as np
import pytest
import soundfile
from soundfiles import decoded, encoded, speechlike

from asrlib.data.containers.piece import Piece, View, contents, open_sound, plain_piece


def test_a_view_reads_what_its_parts_would_give():
    file = io.BytesIO(bytes(range(200)))
    whole = b"head" + bytes(range(50, 90)) + (b"fill" * 10)[:26]
    view = View(file, 50, 90, b"head", b"fill", 70)
    assert len(whole) == view.seek(0, os.SEEK_END) == view.tell() == 70
    for start in (0, 2, 4, 20, 43, 44, 47, 69, 70, 90):
        for count in (0, 1, 3, 30, 100):
            view.seek(start)
            assert view.read(count) == whole[start : start + count]
    view.seek(5)
    assert view.seek(-3, os.SEEK_CUR) == 2 and view.seek(-1, os.SEEK_END) == 69 and view.seek(-9) == 0
    assert View(file, 190, 300).read(50) == bytes(range(190, 200))  # a file that became shorter
    assert View(file, 0, 10, b"", b"", 99).length == 10


def test_a_view_of_a_disk_that_fails_ends_there():
    class Broken(io.BytesIO):
        def read(self, _=-1):
            raise OSError(5, "Input/output error")

    assert View(Broken(b"x" * 100), 0, 100, b"head").read(50) == b"head"


def test_pieces_of_whole_files_and_of_parts(tmp_path):
    data = encoded(speechlike(1.0), format="FLAC")
    path = tmp_path / "a.flac"
    path.write_bytes(b"before" + data + b"behind")
    with open(path, "rb") as file:
        piece = Piece(16_000, 16_000, 1, 6, 6 + len(data))
        found = np.concatenate(list(piece.blocks(file, str(path), 3_000, 13_000, 999)))
        assert max(len(block) for block in piece.blocks(file, str(path), 0, 5_000, 999)) == 999
    np.testing.assert_array_equal(found, decoded(data)[3_000:])
    path.write_bytes(data)
    with open(path, "rb") as file, contents(file) as found:
        assert plain_piece(file, str(path)) == Piece(16_000, 16_000, 1, 0, len(data), whole=True)
        assert found[:4] == b"fLaC" and len(found) == len(data)


@pytest.mark.skipif(os.name == "nt", reason="file names are not bytes there")
def test_a_name_that_is_no_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.flac")
    with open(path, "wb") as file:
        file.write(encoded(speechlike(0.5), format="FLAC"))
    with open_sound(path) as audio:
        assert audio.frames == 8_000
    with pytest.raises(soundfile.SoundFileError):
        open_sound(path + "x")
