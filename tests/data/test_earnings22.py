"""asrlib.data.earnings22: a git repository with git-lfs, verified by one pinned commit."""

import hashlib
import subprocess

import pytest
from published import one_line, sound

from asrlib.data import earnings22
from asrlib.data.corpora import CORPORA
from asrlib.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def commit(server, monkeypatch, tmp_path):
    """The commit of a repository with transcripts and git-lfs pointers; audio is on the server alone."""
    source = tmp_path / "source"
    (source / "earnings22" / "media").mkdir(parents=True)
    references = source / "earnings22" / "transcripts" / "nlp_references"
    references.mkdir(parents=True)
    clip = sound("MP3", 1.0, 16000)
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(clip).hexdigest()}\nsize {len(clip)}\n"
    )
    header = "File ID,Ticker Symbol,Country by Ticker,UN Defined,Major Dialect Family,Area,Length,Rate\n"
    rows = "".join(f"{n},T,Ghana,Sub-Saharan Africa,Other,African,1,16000\n" for n in range(1000, 1125))
    (source / "earnings22" / "metadata.csv").write_text(header + rows)
    (source / "earnings22" / "README.md").write_text("not needed\n")
    for n in range(1000, 1125):
        (source / "earnings22" / "media" / f"{n}.mp3").write_text(pointer)
        (references / f"{n}.nlp").write_text("token|speaker\nGood|0\nmorning|0\n")

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        run = subprocess.run(
            ["git", "-C", source, *who, *arguments], check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "calls")
    head = git("rev-parse", "HEAD")
    for path in source.rglob("*.*"):
        if path.is_file() and ".git" not in path.parts:
            content = clip if path.suffix == ".mp3" else path.read_bytes()
            server.files[f"/{head}/{path.relative_to(source)}"] = content
    monkeypatch.setattr(earnings22, "REPOSITORY", source.as_uri())
    monkeypatch.setattr(earnings22, "COMMIT", head)
    monkeypatch.setattr(earnings22, "TEXT_SERVER", server.url)
    monkeypatch.setattr(earnings22, "AUDIO_SERVER", server.url)
    return head


def test_it_is_verified_by_its_commit(commit, server, cache, monkeypatch):
    audio = f"/{commit}/earnings22/media/1007.mp3"
    right, server.files[audio] = server.files[audio], sound("MP3", 1.0, 16000, seed=1)
    with pytest.raises(InputError) as error:
        CORPORA["earnings22"].prepare()
    one_line(error, "1007.mp3", "lfs:")
    assert not list(cache.rglob("1007.mp3*"))
    server.files[audio] = right
    monkeypatch.setattr(earnings22, "REPOSITORY", "file:///gone")  # its listing is here already
    CORPORA["earnings22"].prepare()
    assert len(server.requests) == 252  # 125 calls, 125 transcripts, one table, and the bad file again
    cuts = CORPORA["earnings22"].load("test")
    assert len(cuts) == 125 and cuts[0].supervisions[0].text == "Good morning"
    with pytest.raises(InputError) as error:
        CORPORA["earnings22"].load("train")
    one_line(error, "has no split 'train'")


def test_it_is_used_from_a_clone(commit, server, cache, tmp_path):
    """Brought by other means, git-lfs included: verified and used with no request."""
    clone = cache / "earnings22" / "speech-datasets"
    subprocess.run(["git", "clone", "-q", tmp_path / "source", clone], check=True, capture_output=True)
    for path in (clone / "earnings22" / "media").iterdir():
        path.write_bytes(server.files[f"/{commit}/{path.relative_to(clone)}"])
    (clone / "earnings22" / "metadata.csv").write_text("changed")
    with pytest.raises(InputError) as error:
        CORPORA["earnings22"].prepare()
    one_line(error, "metadata.csv", "git:", ".wrong")
    assert server.requests == []
    CORPORA["earnings22"].prepare()
    assert len(server.requests) == 1 and len(CORPORA["earnings22"].load()) == 125


def test_it_cannot_be_had_without_its_repository(commit, monkeypatch, cache):
    monkeypatch.setattr(earnings22, "REPOSITORY", "file:///gone")
    with pytest.raises(InputError) as error:
        CORPORA["earnings22"].prepare()
    one_line(error, "file:///gone", commit, cache / "earnings22" / "speech-datasets", "git-lfs")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError) as error:
        CORPORA["earnings22"].prepare()
    one_line(error, "install git")
