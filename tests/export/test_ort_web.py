"""ONNX Runtime Web is fetched once, verified, and taken from a folder."""

import hashlib
import io
import os
import tarfile

import pytest

from asrlib.errors import InputError
from asrlib.export import ort_web

CONTENTS = {name: f"the content of {name}".encode() for name in ort_web.FILES}


@pytest.fixture(autouse=True)
def small(monkeypatch, cache, tmp_path):
    """Other files with other hashes, an empty cache, and no npm."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(ort_web, "FILES", hashes)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def published(server, monkeypatch):
    """A server that has the files."""
    monkeypatch.setattr(ort_web, "SERVER", f"{server.url}/dist")
    for name, content in CONTENTS.items():
        server.files[f"/dist/{name}"] = content
    return server


def npm(tmp_path, contents, code=0):
    """Put a program named npm on the path, whose package has these files."""
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    program = tmp_path / "bin" / "npm"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n/bin/cp {archive} ort.tgz\nexit {code}\n')
    os.chmod(program, 0o755)


def test_npm_fetches_the_files_once(tmp_path, cache):
    npm(tmp_path, CONTENTS | {"ort.all.mjs": b"more than is needed"})
    assert ort_web.runtime_files() == CONTENTS
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["pack", "--silent", "--fetch-retries=0", ort_web.PACKAGE]
    (tmp_path / "bin" / "npm").unlink()
    assert ort_web.runtime_files() == CONTENTS
    assert {file.name for file in (cache / f"ort-web-{ort_web.VERSION}").iterdir()} == set(CONTENTS)


@pytest.mark.parametrize("broken", ["fails", "lacks a file"])
def test_without_npm_or_with_a_broken_one_the_server_is_asked(tmp_path, published, broken):
    npm(tmp_path, dict(list(CONTENTS.items())[broken != "fails" :]), code=broken == "fails")
    assert ort_web.runtime_files() == CONTENTS


def test_without_npm_and_network_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setattr(ort_web, "SERVER", "http://localhost:9/dist")
    with pytest.raises(InputError) as error:
        ort_web.runtime_files()
    line = str(error.value)
    assert "\n" not in line and "npm install onnxruntime-web@" in line and "--runtime" in line


def test_a_folder_of_ones_own(tmp_path):
    folder = tmp_path / "dist"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    assert ort_web.runtime_files(folder) == CONTENTS
    first = next(iter(CONTENTS))
    (folder / first).write_bytes(b"another version")
    with pytest.raises(InputError, match=f"{first} is not the file of onnxruntime-web@"):
        ort_web.runtime_files(folder)
    (folder / first).unlink()
    with pytest.raises(InputError, match=f"{first} is missing: --runtime takes a folder with"):
        ort_web.runtime_files(folder)


def test_nothing_is_fetched_where_that_is_forbidden(tmp_path, published):
    with pytest.raises(InputError, match="ONNX Runtime Web is not in the cache"):
        ort_web.runtime_files(fetch=False)
    assert published.requests == []
    assert ort_web.runtime_files() == ort_web.runtime_files(fetch=False) == CONTENTS
