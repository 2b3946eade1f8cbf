"""asrlib.human_clips: recordings of people, from a local server that stands in for their sources."""

import hashlib

import numpy as np
import pytest
from published import files_in, one_line, sound

import asrlib
from asrlib.data import human_clips as module
from asrlib.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")
WORDS = ("seven", "closed the door carefully", "yes")


@pytest.fixture
def published(server, monkeypatch, tmp_path):
    """A table of three clips, on the local server, in place of the one that ships."""
    rows = ["url\tsha256\tbytes\tspeaker\ttext\tlicence"]
    for number, text in enumerate(WORDS):
        content = sound("FLAC", rate=16000, seed=number)
        path = f"/{'0' * 40}/clip{number}.flac"
        server.files[path] = content
        digest = hashlib.sha256(content).hexdigest()
        rows.append(f"{server.url}{path}\t{digest}\t{len(content)}\tann{number}\t{text}\tCC BY 4.0 (A)")
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / module.TABLE).write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("ASRLIB_DATA", str(assets))
    return server


def test_clips_are_fetched_once(published, cache):
    assert len(asrlib.human_clips(download=False)) == 0 and published.requests == []
    cuts = list(asrlib.human_clips())
    assert [cut.text for cut in cuts] == list(WORDS)
    assert [cut.speaker for cut in cuts] == ["ann0", "ann1", "ann2"]
    assert {cut.custom["license"] for cut in cuts} == {"CC BY 4.0 (A)"}
    assert cuts[0].sampling_rate == 16000 and np.abs(cuts[0].audio).max() > 0.1
    assert len(published.requests) == 3
    again = list(asrlib.human_clips(download=False))
    assert [cut.id for cut in again] == [cut.id for cut in cuts] and len(published.requests) == 3
    licenses = next(cache.glob("human-clips-*/licenses.tsv")).read_text().splitlines()
    assert licenses[1].startswith("audio/clip0.flac\tCC BY 4.0 (A)\thttp")


def test_without_network_one_line_says_so(published, cache):
    missing = dict(published.files)
    published.files.clear()
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "cannot download", "404", module.TABLE, "the 3 files")
    assert len(asrlib.human_clips(download=False)) == 0
    published.files.update(missing)
    assert len(asrlib.human_clips()) == 3


def test_a_refused_connection_is_one_line_too(published):
    published.server_close()
    published.shutdown()
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "cannot download", "refused")


def test_another_file_than_the_table_says_is_not_used(published, cache):
    path = next(iter(published.files))
    published.files[path] = published.files[path] + b"more"
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "has the hash", "deleted")
    assert not [name for name in files_in(cache) if name.endswith("clip0.flac")]


def test_a_table_with_a_gap_is_refused(published, monkeypatch, tmp_path):
    table = tmp_path / "assets" / module.TABLE
    table.write_text(table.read_text().replace("\tseven\t", "\t\t"))
    with pytest.raises(InputError, match="lacks one of url"):
        asrlib.human_clips()


def test_the_table_that_ships_is_pinned_and_licensed():
    rows = module.read_table()
    assert len(rows) == 18 == len({row.path for row in rows})
    for row in rows:
        commit = row.url.split("/")[5]
        assert row.url.startswith("https://") and len(commit) == 40 and int(commit, 16) > 0
        assert len(row.sha256) == 64 and 0 < row.size < 100_000
        assert row.license.startswith("CC BY") and row.text == row.text.lower() and row.speaker
    assert sum(row.size for row in rows) < 500_000
