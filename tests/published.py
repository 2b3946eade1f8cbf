"""A local server with tiny stand-ins for the public archives."""

import hashlib
import io
import tarfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import soundfile

from asrlib.data.corpora import CORPORA
from asrlib.data.preparation import FSDD

SPEAKERS = ("george", "jackson")


class Server(ThreadingHTTPServer):
    """Serve ``files`` (path: bytes). ``ranges``: honor Range; ``cut``: close after so many bytes."""

    daemon_threads = True

    def __init__(self):
        self.files, self.requests, self.ranges, self.cut = {}, [], True, None
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path not in server.files:
            self.send_error(404)
            return
        content, start = server.files[self.path], 0
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : server.cut])

    def log_message(self, *_):
        pass


def sound(format="WAV", seconds=0.3, rate=8000, seed=0, **kind):
    file = io.BytesIO()
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate))
    soundfile.write(file, samples, rate, format=format, **kind)
    return file.getvalue()


def tarball(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str) and content.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, content[3:]
                tar.addfile(member)
                continue
            content = content.encode() if isinstance(content, str) else content
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def fsdd():
    return tarball(
        {
            f"{FSDD}/recordings/{digit}_{speaker}_{index}.wav": sound(seed=digit)
            for digit in (0, 7)
            for speaker in SPEAKERS
            for index in (0, 5, 10, 11)
        }
    )


def librispeech(part, speakers):
    files = {}
    for speaker in speakers:
        name = f"{speaker}-1-000"
        folder = f"LibriSpeech/{part}/{speaker}/1"
        files[f"{folder}/{speaker}-1.trans.txt"] = f"{name}0 ONE DAY\n{name}1 IT'S TWO\n"
        for n in range(2):
            files[f"{folder}/{name}{n}.flac"] = sound("FLAC", rate=16000, seed=n)
    return tarball(files)


def publish(server, monkeypatch, name, contents):
    """Replace the archives of the registry's ``name`` by archives on the server, with their hashes."""
    archives = []
    for old, content in zip(CORPORA[name].archives, contents, strict=True):
        url = "/" + old.url.rsplit("/", 1)[1]
        server.files[url] = content
        kind = old.checksum.split(":")[0]
        checksum = f"{kind}:{hashlib.new(kind, content).hexdigest()}"
        archives.append(replace(old, url=server.url + url, checksum=checksum))
    monkeypatch.setitem(CORPORA, name, replace(CORPORA[name], archives=tuple(archives)))


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def one_line(error, *words):
    """Check that the caught error has a single line with all of these words; return its text."""
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text, f"{word!r} is not in: {text}"
    return text
