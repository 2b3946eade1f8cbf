"""asrlib.data.download: a download ends verified or not at all; a local server has the archives."""

import errno
import hashlib
import os
import socket
import tarfile
from dataclasses import replace

import pytest
from lhotse import CutSet
from published import FSDD, files_in, fsdd, librispeech, one_line, publish, tarball

from asrlib.data import download
from asrlib.data.corpora import CORPORA
from asrlib.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")


def test_damaged_download_is_deleted(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    right = server.files["/v1.0.9.tar.gz"]
    server.files["/v1.0.9.tar.gz"] = right[:-50] + bytes(50)
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].prepare()
    one_line(error, "/v1.0.9.tar.gz", "sha256:", "deleted")
    assert files_in(cache) == []
    server.files["/v1.0.9.tar.gz"] = right
    CORPORA["fsdd"].prepare()


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_resumed(server, monkeypatch, cache, ranges):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    server.cut, server.ranges = 1000, ranges
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].prepare()
    one_line(error, "broke after 1,000 of", server.url)
    assert files_in(cache) == [f"fsdd/downloads/{FSDD}.tar.gz.part"]  # nothing under a final name
    server.cut = None
    CORPORA["fsdd"].prepare()
    assert server.requests[1:] == [("/v1.0.9.tar.gz", "bytes=1000-")]


@pytest.mark.parametrize("stale", ["other bytes", "other bytes, longer", "all of it"])
def test_what_an_interrupted_call_left(server, monkeypatch, cache, stale):
    """The rest of another version, or a file whose verification was interrupted."""
    content = fsdd()
    publish(server, monkeypatch, "fsdd", [content])
    left = {"other bytes": b"x" * 100, "other bytes, longer": b"x" * 10**5, "all of it": content}[stale]
    part = cache / "fsdd" / "downloads" / f"{FSDD}.tar.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert len(CORPORA["fsdd"].load("test", CORPORA["fsdd"].prepare())) == 4
    assert not part.exists()


def test_interrupt_leaves_nothing_under_a_final_name(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    # while it is verified, and while cuts are written
    for owner, function in ((hashlib, "new"), (CutSet, "to_file")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, function, interrupted)
            CORPORA["fsdd"].prepare()
        assert not (cache / "fsdd" / "cuts" / "test.jsonl.gz").exists()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "extractall", interrupted)
        (cache / "fsdd" / "unpacked" / FSDD).rename(cache / "before")
        CORPORA["fsdd"].prepare()
    assert not list((cache / "fsdd" / "unpacked").iterdir())
    CORPORA["fsdd"].prepare()
    assert len(CORPORA["fsdd"].load()) == 16


def test_server_refuses(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    server.files.clear()
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].prepare()
    one_line(error, "404", f"{server.url}/v1.0.9.tar.gz", cache / "fsdd" / "downloads")
    assert files_in(cache) == []


def test_no_network_and_files_by_other_means(server, monkeypatch, cache):
    contents = [librispeech("train-clean-5", [1]), librispeech("dev-clean-2", [3, 5])]
    publish(server, monkeypatch, "mini-librispeech", contents)
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        corpus = CORPORA["mini-librispeech"]
        away = [
            replace(archive, url=archive.url.replace(str(server.server_port), str(closed.getsockname()[1])))
            for archive in corpus.archives
        ]
        monkeypatch.setitem(CORPORA, "mini-librispeech", replace(corpus, archives=tuple(away)))
        downloads = cache / "mini-librispeech" / "downloads"
        with pytest.raises(InputError) as error:
            CORPORA["mini-librispeech"].prepare()
        one_line(error, "refused", away[0].url, away[1].url, downloads)
        assert files_in(cache) == []

        (downloads / "train-clean-5.tar.gz").write_bytes(contents[0])
        (downloads / "dev-clean-2.tar.gz").write_bytes(contents[1][:-9])
        with pytest.raises(InputError) as error:
            CORPORA["mini-librispeech"].prepare()
        one_line(error, downloads / "dev-clean-2.tar.gz", "md5:", ".wrong")
        assert files_in(downloads) == ["dev-clean-2.tar.gz.wrong", "train-clean-5.tar.gz"]

        (downloads / "dev-clean-2.tar.gz").write_bytes(contents[1])
        CORPORA["mini-librispeech"].prepare()
    assert server.requests == [] and len(CORPORA["mini-librispeech"].load("train")) == 2


class FullDisk:
    """A file on a disk that takes the first bytes and no more."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_while_downloading(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(download, "open", lambda path, mode: FullDisk(open(path, mode)), raising=False)
        CORPORA["fsdd"].prepare()
    one_line(error, "disk is full", f"{FSDD}.tar.gz", "--out")
    assert files_in(cache) == []
    CORPORA["fsdd"].prepare()


def test_full_disk_while_unpacking_and_writing_cuts(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])

    def fills(*arguments, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(tarfile.TarFile, "makefile", fills)
        CORPORA["fsdd"].prepare()
    one_line(error, "unpacking", "disk is full")
    assert files_in(cache) == [f"fsdd/downloads/{FSDD}.tar.gz"]

    def half(cuts, path):
        path.write_bytes(b"half")
        fills()

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(CutSet, "to_file", half)
        CORPORA["fsdd"].prepare()
    one_line(error, "writing", "disk is full")
    assert not list((cache / "fsdd" / "cuts").iterdir())
    CORPORA["fsdd"].prepare()


def test_too_small_a_disk_is_told_before_the_download(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    usage = type("Usage", (), {"free": 10})
    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(download.shutil, "disk_usage", lambda path: usage)
        CORPORA["fsdd"].prepare()
    one_line(error, "0.00 GB left", "--out")
    assert files_in(cache) == []


def test_folder_that_cannot_be_written(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].prepare(tmp_path / "file")
    one_line(error, tmp_path / "file")


@pytest.mark.parametrize("name", ["../outside.wav", "/tmp/../../outside.wav", "link"])
def test_archive_that_leads_outside_is_refused(server, monkeypatch, cache, name):
    files = {"link": "-> ../../.."} if name == "link" else {name: b"x"}
    publish(server, monkeypatch, "fsdd", [tarball({"README.md": b"harmless"} | files)])
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].prepare()
    one_line(error, "nothing of it was kept", "outside")
    assert files_in(cache) == [f"fsdd/downloads/{FSDD}.tar.gz"]
    assert not list(cache.parent.rglob("outside.wav"))
