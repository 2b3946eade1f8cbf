"""Downloads end verified or not at all: a local server with tiny stand-ins for the public archives."""

import errno
import hashlib
import os
import socket
import subprocess
import tarfile
from dataclasses import replace

import pytest
from published import fetching, fsdd, librispeech, publish, sound, tarball

from asrlib.data.corpora import cut_audio, load_corpus
from asrlib.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")


def one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text, f"{word!r} is not in: {text}"
    return text


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- the whole way, corpus by corpus ---------------------------------------------------


def test_fsdd(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    folder = fetching.fetch("fsdd")
    assert folder == cache / "fsdd"
    assert {split: len(fetching.load_public("fsdd", split)) for split in ("train", "dev", "test")} == {
        "train": 8,
        "dev": 4,
        "test": 4,
    }
    cut = fetching.load_public("fsdd", "dev")[0]
    assert (cut.id, cut.supervisions[0].text, cut.supervisions[0].speaker) == ("0_george_5", "zero", "george")
    assert cut.load_audio().shape == (1, 2400)
    assert [cut.custom["split"] for cut in fetching.load_public("fsdd")] == 8 * ["train"] + 4 * [
        "dev"
    ] + 4 * ["test"]
    assert len(load_corpus(folder)) == 16
    header, first, *rest = (folder / "manifest.tsv").read_text().splitlines()
    assert header == "path\tspeaker\tseconds\ttext" and len(rest) == 15
    path, speaker, seconds, text = first.split("\t")
    assert (folder / path).is_file() and (speaker, seconds, text) == ("george", "0.300", "zero")
    assert "test: 4 utterances, 0.00 hours" in fetching.summary("fsdd")
    assert not [name for name in files_in(folder) if "part" in name]


def test_second_call_makes_no_request(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    fetching.fetch("fsdd")
    before = files_in(cache), len(server.requests)
    assert fetching.fetch("fsdd") == cache / "fsdd"
    assert (files_in(cache), len(server.requests)) == before and before[1] == 1


def test_librispeech_and_the_960_hours_share_a_folder(server, monkeypatch, tmp_path):
    whole = fetching.CATALOGUE["librispeech-960"]
    contents = [
        librispeech(archive.url.split("/")[-1].removesuffix(".tar.gz"), [7]) for archive in whole.archives
    ]
    publish(server, monkeypatch, "librispeech-960", contents)
    by_name = {archive.path: archive for archive in fetching.CATALOGUE["librispeech-960"].archives}
    small = fetching.CATALOGUE["librispeech"]
    monkeypatch.setitem(
        fetching.CATALOGUE,
        "librispeech",
        replace(small, archives=tuple(by_name[a.path] for a in small.archives)),
    )
    out = tmp_path / "elsewhere"
    assert fetching.fetch("librispeech", out) == out and len(server.requests) == 5
    assert len(fetching.load_public("librispeech", "train", out)) == 2
    fetching.fetch("librispeech-960", str(out))
    assert len(server.requests) == 7  # train-clean-360 and train-other-500 alone
    assert len(fetching.load_public("librispeech-960", "train", out)) == 6
    cut = fetching.load_public("librispeech", "test-other", out)[1]
    assert (cut.id, cut.supervisions[0].text) == ("7-1-0001", "IT'S TWO")


def test_mini_librispeech_tests_on_other_speakers_than_it_develops_on(server, monkeypatch):
    contents = [librispeech("train-clean-5", [1]), librispeech("dev-clean-2", [3, 5, 8])]
    publish(server, monkeypatch, "mini-librispeech", contents)
    fetching.fetch("mini-librispeech")
    speakers = {
        split: {cut.supervisions[0].speaker for cut in fetching.load_public("mini-librispeech", split)}
        for split in ("train", "dev", "test")
    }
    assert speakers == {"train": {"1"}, "dev": {"3", "8"}, "test": {"5"}}


def test_speechcommands(server, monkeypatch):
    clip = sound(rate=16000)
    names = ["yes/aa_nohash_0.wav", "yes/bb_nohash_0.wav", "bed/cc_nohash_0.wav"]
    noise = ["_background_noise_/running_tap.wav", "_background_noise_/pink_noise.wav"]
    train = dict.fromkeys([f"./{name}" for name in names + noise], clip)
    train |= {"./validation_list.txt": names[1] + "\n", "./testing_list.txt": names[2] + "\n"}
    test = [f"./no/{letter}_nohash_0.wav" for letter in "badec"]
    test = dict.fromkeys([*test, "./_unknown_/bed_ee_nohash_0.wav", "./_silence_/0.wav"], clip)
    publish(server, monkeypatch, "speechcommands", [tarball(train), tarball(test)])
    fetching.fetch("speechcommands")
    texts = {
        split: [cut.supervisions[0].text for cut in fetching.load_public("speechcommands", split)]
        for split in ("train", "dev", "test")
    }
    assert texts == {"train": ["yes"], "dev": ["yes"], "test": ["bed"] + 5 * ["no"]}  # no noise, no silence
    ids = [cut.id for cut in fetching.load_public("speechcommands", "test")]
    assert ids == sorted(ids)


def test_tedlium(server, monkeypatch):
    files = {}
    for part in ("train", "dev", "test"):
        root = f"TEDLIUM_release-3/legacy/{part}"
        files[f"TEDLIUM_release-3/data/sph/{part}.sph"] = sound("NIST", 2.0, 16000, subtype="PCM_16")
        files[f"{root}/sph/{part}.sph"] = f"-> ../../../data/sph/{part}.sph"
        files[f"{root}/stm/{part}.stm"] = (
            f"{part} 1 {part} 0.00 0.90 <o,f0,male> they 're here <unk>\n"
            f"{part} 1 {part} 0.90 1.20 <o,f0,male> ignore_time_segment_in_scoring\n"
            f"{part} 1 {part} 1.20 1.50 <o,f0,male> {{NOISE}}\n"
        )
    publish(server, monkeypatch, "tedlium", [tarball(files)])
    fetching.fetch("tedlium")
    (cut,) = fetching.load_public("tedlium", "train")
    assert (cut.id, cut.supervisions[0].text.split()) == ("train-0", ["they're", "here"])
    assert (cut.start, cut.duration) == (0.0, 0.9) and cut_audio(cut).shape == (14400,)


def test_yesno(server, monkeypatch):
    clip = sound(seconds=0.1)
    names = ["_".join(f"{n:08b}") for n in range(60)]
    publish(server, monkeypatch, "yesno", [tarball({f"waves_yesno/{name}.wav": clip for name in names})])
    fetching.fetch("yesno")
    splits = {split: fetching.load_public("yesno", split) for split in ("train", "dev", "test")}
    assert {split: len(cuts) for split, cuts in splits.items()} == {"train": 25, "dev": 5, "test": 30}
    assert splits["test"][0].supervisions[0].text == "NO NO NO NO NO NO NO YES"
    ids = [cut.id for cuts in splits.values() for cut in cuts]
    assert len(set(ids)) == 60


@pytest.fixture
def earnings22(server, monkeypatch, tmp_path):
    """A git repository with 125 transcripts and git-lfs pointers; the audio is on the server alone."""
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
    commit = git("rev-parse", "HEAD")
    for path in source.rglob("*.*"):
        if path.is_file() and ".git" not in path.parts:
            content = clip if path.suffix == ".mp3" else path.read_bytes()
            server.files[f"/{commit}/{path.relative_to(source)}"] = content
    monkeypatch.setattr(fetching, "EARNINGS22", source.as_uri())
    monkeypatch.setattr(fetching, "EARNINGS22_COMMIT", commit)
    monkeypatch.setattr(fetching, "EARNINGS22_TEXT", server.url)
    monkeypatch.setattr(fetching, "EARNINGS22_AUDIO", server.url)
    return commit


def test_earnings22_is_verified_by_its_commit(earnings22, server, cache, monkeypatch):
    audio = f"/{earnings22}/earnings22/media/1007.mp3"
    right, server.files[audio] = server.files[audio], sound("MP3", 1.0, 16000, seed=1)
    with pytest.raises(InputError) as error:
        fetching.fetch("earnings22")
    one_line(error, "1007.mp3", "lfs:")
    assert not list(cache.rglob("1007.mp3*"))
    server.files[audio] = right
    monkeypatch.setattr(fetching, "EARNINGS22", "file:///gone")  # its listing is here already
    fetching.fetch("earnings22")
    assert len(server.requests) == 252  # 125 calls, 125 transcripts, one table, and the bad file again
    cuts = fetching.load_public("earnings22", "test")
    assert len(cuts) == 125 and cuts[0].supervisions[0].text == "Good morning"
    with pytest.raises(InputError) as error:
        fetching.load_public("earnings22", "train")
    one_line(error, "has no split 'train'")


def test_earnings22_from_a_clone(earnings22, server, cache, tmp_path):
    """Brought by other means, git-lfs included: verified and used with no request."""
    clone = cache / "earnings22" / "speech-datasets"
    subprocess.run(["git", "clone", "-q", tmp_path / "source", clone], check=True, capture_output=True)
    for path in (clone / "earnings22" / "media").iterdir():
        path.write_bytes(server.files[f"/{earnings22}/{path.relative_to(clone)}"])
    (clone / "earnings22" / "metadata.csv").write_text("changed")
    with pytest.raises(InputError) as error:
        fetching.fetch("earnings22")
    one_line(error, "metadata.csv", "git:", ".wrong")
    assert server.requests == []
    fetching.fetch("earnings22")
    assert len(server.requests) == 1 and len(fetching.load_public("earnings22")) == 125


def test_earnings22_without_its_repository(earnings22, monkeypatch, cache):
    monkeypatch.setattr(fetching, "EARNINGS22", "file:///gone")
    with pytest.raises(InputError) as error:
        fetching.fetch("earnings22")
    one_line(error, "file:///gone", earnings22, cache / "earnings22" / "speech-datasets", "git-lfs")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError) as error:
        fetching.fetch("earnings22")
    one_line(error, "install git")


def test_synthesised_corpora_are_rendered(monkeypatch, cache, tmp_path):
    def render(name, folder):
        (folder / "audio").mkdir(parents=True)
        (folder / "audio" / "test-0.wav").write_bytes(sound())
        (folder / "manifest.tsv").write_text("path\tsplit\ttext\naudio/test-0.wav\ttest\tone\n")

    render("digits", cache / "digits-1")
    monkeypatch.setattr(fetching, "load_corpus", lambda name: load_corpus(cache / "digits-1"))
    monkeypatch.setattr(fetching, "render_corpus", render)
    assert fetching.fetch("digits") == cache / "digits-1"
    assert "test: 1 utterances" in fetching.summary("digits")
    assert fetching.fetch("digits", tmp_path / "here") == tmp_path / "here"


# --- what can go wrong -----------------------------------------------------------------


def test_unknown_and_unfetched_names():
    with pytest.raises(InputError) as error:
        fetching.fetch("librispeach")
    one_line(error, "librispeach", "mini-librispeech", "digits")
    with pytest.raises(InputError) as error:
        fetching.load_public("fsdd", "test")
    one_line(error, "asrlib data fsdd")


def test_damaged_download_is_deleted(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    right = server.files["/v1.0.9.tar.gz"]
    server.files["/v1.0.9.tar.gz"] = right[:-50] + bytes(50)
    with pytest.raises(InputError) as error:
        fetching.fetch("fsdd")
    one_line(error, "/v1.0.9.tar.gz", "sha256:", "deleted")
    assert files_in(cache) == []
    server.files["/v1.0.9.tar.gz"] = right
    fetching.fetch("fsdd")


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_resumed(server, monkeypatch, cache, ranges):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    server.cut, server.ranges = 1000, ranges
    with pytest.raises(InputError) as error:
        fetching.fetch("fsdd")
    one_line(error, "broke after 1,000 of", server.url)
    assert files_in(cache) == [f"fsdd/downloads/{fetching.FSDD}.tar.gz.part"]  # nothing under a final name
    server.cut = None
    fetching.fetch("fsdd")
    assert server.requests[1:] == [("/v1.0.9.tar.gz", "bytes=1000-")]


@pytest.mark.parametrize("stale", ["other bytes", "other bytes, longer", "all of it"])
def test_what_an_interrupted_call_left(server, monkeypatch, cache, stale):
    """The rest of another version, or a file whose verification was interrupted."""
    content = fsdd()
    publish(server, monkeypatch, "fsdd", [content])
    left = {"other bytes": b"x" * 100, "other bytes, longer": b"x" * 10**5, "all of it": content}[stale]
    part = cache / "fsdd" / "downloads" / f"{fetching.FSDD}.tar.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert len(fetching.load_public("fsdd", "test", fetching.fetch("fsdd"))) == 4
    assert not part.exists()


def test_interrupt_leaves_nothing_under_a_final_name(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for place in ("_digest", "_write_cuts"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(fetching, place, interrupted)
            fetching.fetch("fsdd")
        assert not (cache / "fsdd" / "cuts" / "test.jsonl.gz").exists()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "extractall", interrupted)
        (cache / "fsdd" / "unpacked" / fetching.FSDD).rename(cache / "before")
        fetching.fetch("fsdd")
    assert not list((cache / "fsdd" / "unpacked").iterdir())
    fetching.fetch("fsdd")
    assert len(fetching.load_public("fsdd")) == 16


def test_server_refuses(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    server.files.clear()
    with pytest.raises(InputError) as error:
        fetching.fetch("fsdd")
    one_line(error, "404", f"{server.url}/v1.0.9.tar.gz", cache / "fsdd" / "downloads")
    assert files_in(cache) == []


def test_no_network_and_files_by_other_means(server, monkeypatch, cache):
    contents = [librispeech("train-clean-5", [1]), librispeech("dev-clean-2", [3, 5])]
    publish(server, monkeypatch, "mini-librispeech", contents)
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        corpus = fetching.CATALOGUE["mini-librispeech"]
        away = [
            replace(archive, url=archive.url.replace(str(server.server_port), str(closed.getsockname()[1])))
            for archive in corpus.archives
        ]
        monkeypatch.setitem(fetching.CATALOGUE, "mini-librispeech", replace(corpus, archives=tuple(away)))
        downloads = cache / "mini-librispeech" / "downloads"
        with pytest.raises(InputError) as error:
            fetching.fetch("mini-librispeech")
        one_line(error, "refused", away[0].url, away[1].url, downloads)
        assert files_in(cache) == []

        (downloads / "train-clean-5.tar.gz").write_bytes(contents[0])
        (downloads / "dev-clean-2.tar.gz").write_bytes(contents[1][:-9])
        with pytest.raises(InputError) as error:
            fetching.fetch("mini-librispeech")
        one_line(error, downloads / "dev-clean-2.tar.gz", "md5:", ".wrong")
        assert files_in(downloads) == ["dev-clean-2.tar.gz.wrong", "train-clean-5.tar.gz"]

        (downloads / "dev-clean-2.tar.gz").write_bytes(contents[1])
        fetching.fetch("mini-librispeech")
    assert server.requests == [] and len(fetching.load_public("mini-librispeech", "train")) == 2


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
        patch.setattr(fetching, "open", lambda path, mode: FullDisk(open(path, mode)), raising=False)
        fetching.fetch("fsdd")
    one_line(error, "disk is full", f"{fetching.FSDD}.tar.gz", "--out")
    assert files_in(cache) == []
    fetching.fetch("fsdd")


def test_full_disk_while_unpacking_and_writing_cuts(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])

    def fills(*arguments, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(tarfile.TarFile, "makefile", fills)
        fetching.fetch("fsdd")
    one_line(error, "unpacking", "disk is full")
    assert files_in(cache) == [f"fsdd/downloads/{fetching.FSDD}.tar.gz"]

    from lhotse import CutSet

    def half(cuts, path):
        path.write_bytes(b"half")
        fills()

    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(CutSet, "to_file", half)
        fetching.fetch("fsdd")
    one_line(error, "writing", "disk is full")
    assert not list((cache / "fsdd" / "cuts").iterdir())
    fetching.fetch("fsdd")


def test_too_small_a_disk_is_told_before_the_download(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    usage = type("Usage", (), {"free": 10})
    with monkeypatch.context() as patch, pytest.raises(InputError) as error:
        patch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
        fetching.fetch("fsdd")
    one_line(error, "0.00 GB left", "--out")
    assert files_in(cache) == []


def test_folder_that_cannot_be_written(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError) as error:
        fetching.fetch("fsdd", tmp_path / "file")
    one_line(error, tmp_path / "file")


@pytest.mark.parametrize("name", ["../outside.wav", "/tmp/../../outside.wav", "link"])
def test_archive_that_leads_outside_is_refused(server, monkeypatch, cache, name):
    files = {"link": "-> ../../.."} if name == "link" else {name: b"x"}
    publish(server, monkeypatch, "fsdd", [tarball({"README.md": b"harmless"} | files)])
    with pytest.raises(InputError) as error:
        fetching.fetch("fsdd")
    one_line(error, "nothing of it was kept", "outside")
    assert files_in(cache) == [f"fsdd/downloads/{fetching.FSDD}.tar.gz"]
    assert not list(cache.parent.rglob("outside.wav"))


def test_moved_folder(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    fetching.fetch("fsdd", tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(InputError) as error:
        fetching.load_public("fsdd", "test", tmp_path / "there")
    one_line(error, "moved", tmp_path / "there")


def test_catalogue_is_complete():
    """Every archive has a hash of full length, and every corpus what the command line promises."""
    wanted = {"librispeech", "mini-librispeech", "speechcommands", "tedlium", "earnings22", "yesno", "fsdd"}
    assert wanted <= set(fetching.CATALOGUE)
    for name, corpus in fetching.CATALOGUE.items():
        assert "test" in corpus.splits and corpus.licence, name
        for archive in corpus.archives:
            kind, value = archive.checksum.split(":")
            assert len(bytes.fromhex(value)) == {"sha256": 32, "md5": 16}[kind]
            assert archive.url.startswith("https://") and archive.path.startswith("downloads/")
