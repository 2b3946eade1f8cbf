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


def test_a_cache_that_lost_a_file_is_mended(published, cache):
    asrlib.human_clips()
    path = next(cache.glob("human-clips-*/audio/clip1.flac"))
    path.unlink()
    assert len(asrlib.human_clips(download=False)) == 0 and len(published.requests) == 3
    assert len(asrlib.human_clips()) == 3 and len(published.requests) == 4 and path.is_file()


def test_a_cache_whose_manifest_changed_is_mended(published, cache):
    asrlib.human_clips()
    manifest = next(cache.glob("human-clips-*/manifest.tsv"))
    good = manifest.read_bytes()
    for damaged in (b"", good[:-10], good + b"audio/other.flac\tann\tno\ttest\n"):
        manifest.write_bytes(damaged)
        assert [cut.text for cut in asrlib.human_clips()] == list(WORDS)
        assert manifest.read_bytes() == good and len(published.requests) == 3


def test_a_file_that_changed_in_the_cache_is_not_used(published, cache):
    asrlib.human_clips()
    path, other = (next(cache.glob(f"human-clips-*/audio/clip{n}.flac")) for n in (0, 1))
    good = path.read_bytes()
    path.write_bytes(other.read_bytes())
    assert len(asrlib.human_clips(download=False)) == 0
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "clip0.flac has the hash", "renamed to .wrong", "repeat")
    assert len(asrlib.human_clips()) == 3 and path.read_bytes() == good


@pytest.mark.parametrize("text", ["few", "-1"])
def test_a_table_with_a_size_that_is_none_is_refused(published, tmp_path, text):
    table = tmp_path / "assets" / module.TABLE
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    lines[1][2] = text
    table.write_text("\n".join("\t".join(line) for line in lines))
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "is no number of bytes")


def test_a_table_without_rows_is_refused(published, tmp_path):
    table = tmp_path / "assets" / module.TABLE
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError) as error:
        asrlib.human_clips()
    one_line(error, "it has no rows")


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
