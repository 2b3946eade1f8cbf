"""asrlib.data.corpora: one door to all corpora: synthetic, public, folders, shards, and the kit's clips."""

import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from folders import fails, make_folder
from published import fsdd, publish

from asrlib import load_corpus
from asrlib.data import corpora
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import (
    CORPORA,
    clips,
    corpus_splits,
    find_corpus,
    load_corpora,
    register_corpus,
    summary,
)
from asrlib.data.shar import write_shar

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"


# -------------------------------------------------------------------------------- public corpora


def test_a_public_corpus_is_downloaded_verified_and_opened(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    cuts = load_corpus("fsdd", "dev", download=True)
    assert [cut.supervisions[0].text for cut in cuts] == ["zero", "zero", "seven", "seven"]
    assert len(cut_audio(cuts[0])) == 2400 and (cache / "fsdd" / "cuts").is_dir()
    assert len(server.requests) == 1
    assert len(load_corpus("fsdd")) == 16  # from the cache, with or without download
    assert len(load_corpus("fsdd", "train", download=True)) == 8 and len(server.requests) == 1


def test_a_download_with_a_wrong_hash_is_no_corpus(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    server.files["/v1.0.9.tar.gz"] = fsdd()[:-50] + bytes(50)
    fails("v1.0.9.tar.gz has the hash sha256:.*It was deleted", load_corpus, "fsdd", download=True)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    fails("fsdd is not in .*fsdd", load_corpus, "fsdd")


def test_without_network_one_line_says_what_to_download_and_where(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        corpus = CORPORA["fsdd"]
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1.0.9.tar.gz"
        away = replace(corpus, archives=(replace(corpus.archives[0], url=url),))
        monkeypatch.setitem(CORPORA, "fsdd", away)
        message = f"cannot download {url} .*refused.*by other means into {cache / 'fsdd' / 'downloads'}"
        fails(message, load_corpus, "fsdd", download=True)


def test_what_is_not_downloaded_names_the_command_and_the_size(server, monkeypatch, cache):
    message = (
        "librispeech is not in .*librispeech: `asrlib data librispeech` downloads it .7.7 GB.*download=True"
    )
    fails(message, load_corpus, "librispeech")
    fails("`asrlib data librispeech-960` downloads it .61.4 GB", load_corpus, "librispeech-960", "test-other")
    fails("`asrlib data earnings22` downloads it .119 hours of MP3", load_corpus, "earnings22")
    fails(
        "librispeech has no split 'exam'; it has train, dev, test, dev-other",
        load_corpus,
        "librispeech",
        "exam",
    )
    publish(server, monkeypatch, "fsdd", [fsdd()])
    fails("downloads it .12.0 MB", load_corpus, "fsdd")
    (cache / "fsdd" / "downloads").mkdir(parents=True)
    (cache / "fsdd" / CORPORA["fsdd"].archives[0].path).write_bytes(fsdd())
    fails("downloads it .0.0 MB", load_corpus, "fsdd")  # brought by other means: only to be prepared
    assert server.requests == []


@pytest.mark.parametrize("name", ["speech-commands", "speechcommands", "Speech_Commands"])
def test_a_name_in_any_spelling(cache, name):
    fails("speech-commands is not in .*: `asrlib data speech-commands`", load_corpus, name)
    assert find_corpus(name).name == "speech-commands"
    assert corpus_splits(name) == ["train", "dev", "test"]


def test_a_folder_comes_before_a_name_in_another_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "LibriSpeech", ["a.wav\ts\tone"])
    assert len(load_corpus("LibriSpeech")) == 1


# -------------------------------------------------------------------------------- the registry


def test_a_new_corpus_is_one_entry(tiny_corpus, monkeypatch):
    class Tones:
        name, license, splits = "tones", "none needed", ("train", "dev", "test")

        def folder(self, out=None):
            return Path(out or tiny_corpus)

        def prepare(self, out=None):
            return self.folder(out)

        def load(self, split=None, out=None):
            return load_corpus(self.folder(out), split)

    monkeypatch.setattr(corpora, "CORPORA", dict(CORPORA))
    register_corpus(Tones())
    assert len(load_corpus("tones", "dev")) == 6 and len(load_corpus("Tones", download=True)) == 78
    assert len(load_corpora(["tones"], "test")) == 12
    lines = summary(find_corpus("tones")).splitlines()
    assert lines[0] == f"tones in {tiny_corpus}" and lines[2].startswith("  dev: 6 utterances, 0.0")
    assert lines[-1] == "  license: none needed"


def test_what_cannot_be_registered_is_refused(monkeypatch, unchecked_shapes):
    monkeypatch.setattr(corpora, "CORPORA", dict(CORPORA))
    fails("str is not a corpus: it lacks name, license, splits, folder", register_corpus, "tones")
    for name in ("Libri_Speech", ""):
        other = replace(CORPORA["digits"], name=name)
        fails(f"cannot be called '{name}'; use a name other than digits, comm", register_corpus, other)
    assert register_corpus(CORPORA["digits"]) is CORPORA["digits"]  # once more does no harm
    assert list(corpora.CORPORA) == list(CORPORA)


def test_unknown_names(tmp_path):
    fails(
        "nosuch: neither a folder nor one of the corpora digits, commands, sent.*fsdd", load_corpus, "nosuch"
    )
    fails("no corpus 'librispeach'; there are digits, .*mini-librispeech", find_corpus, "librispeach")
    fails("manifest.tsv does not exist", load_corpus, tmp_path)


def test_a_synthetic_corpus_is_rendered_on_first_use(cache, monkeypatch):
    small = replace(CORPORA["commands"], sizes={"train": 2, "dev": 1, "test": 1})
    monkeypatch.setitem(CORPORA, "commands", small)
    assert len(load_corpus("commands")) == 4 and small.folder().parent == cache
    assert summary(small).endswith("license: none needed, it is synthesized")


# -------------------------------------------------------------------------------- several corpora


@pytest.fixture
def two(tmp_path):
    folders = [
        make_folder(tmp_path / name, ["a.wav\tone\ttrain", "b.wav\ttwo\ttest"], "path\ttext\tsplit")
        for name in "ab"
    ]
    (folders[1] / "manifest.tsv").write_text("path\ttext\tsplit\na.wav\tone\ttrain\nb.wav\ttwo\tdev\n")
    return [str(folder) for folder in folders]


def test_several_corpora_one_after_another(two):
    cuts = load_corpora(two, "train")
    assert [cut.id for cut in cuts] == [f"{folder}/a.wav" for folder in two]
    np.testing.assert_array_equal(*map(cut_audio, cuts))
    assert len(load_corpora(two, None)) == 4
    assert [cut.id for cut in load_corpora(two[:1], "train")] == ["a.wav"]


def test_a_split_that_not_every_corpus_has(two):
    fails("a/manifest.tsv: there is no split 'dev'; it has train, test", load_corpora, two, "dev")
    assert [cut.id for cut in load_corpora(two, "dev", optional=True)] == [f"{two[1]}/b.wav"]
    assert load_corpora(two[:1], "dev", optional=True) is None
    assert load_corpora(two, "exam", optional=True) is None
    fails("earnings22 is not in", load_corpora, [*two, "earnings22"], "test", optional=True)
    assert len(load_corpora([*two, "earnings22"], "dev", optional=True)) == 1  # it has no dev


# lhotse leaves it to Python to close the files of a shard
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_shards_are_loaded_alone(tiny_corpus, two, tmp_path):
    shards = str(tmp_path / "shards")
    write_shar(load_corpus(tiny_corpus), shards)
    fails("shards holds Shar shards: give it without other corpora", load_corpora, [shards, *two], "train")
    assert len(list(load_corpora([shards], "dev", optional=True))) == 6
    assert load_corpora([shards], "exam", optional=True) is None
    assert corpus_splits(shards) == ["train", "dev", "test"]
    assert corpus_splits(tiny_corpus) == ["train", "dev", "test"]
    assert next(iter(load_corpora([shards], "test"))).sampling_rate == tiny.RATE


# -------------------------------------------------------------------------------- recordings


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real recordings is absent")
@pytest.mark.real
@pytest.mark.parametrize(
    "name, count", [("fsdd", 2000), ("librispeech-251", 248), ("speechocean-train", 2500)]
)
def test_folders_of_real_recordings_load_in_seconds(name, count):
    import lhotse  # noqa: F401  its import is not what is timed

    start = time.perf_counter()
    cuts = load_corpus(REAL / name)
    assert time.perf_counter() - start < 10
    assert len(cuts) == count and {cut.custom["split"] for cut in cuts} == {"train", "dev", "test"}
    for cut in list(cuts)[:5]:
        assert len(cut_audio(cut)) == cut.num_samples


# -------------------------------------------------------------------------------- the kit's clips


def test_clips():
    cuts = list(clips())
    assert 6 <= len(cuts) <= 10 and len({cut.supervisions[0].speaker for cut in cuts}) >= 5
    size = 0
    for cut in cuts:
        supervision, samples = cut.supervisions[0], cut_audio(cut)
        items = supervision.alignment["word"]
        assert [item.symbol for item in items] == supervision.text.split() and supervision.alignment["phone"]
        speech = [np.sqrt((samples[int(i.start * 16_000) : int(i.end * 16_000)] ** 2).mean()) for i in items]
        margin = np.sqrt((samples[: int(items[0].start * 16_000)] ** 2).mean())
        assert min(speech) > 10 * margin
        size += Path(cut.recording.sources[0].source).stat().st_size
    assert size < 600_000


def test_clips_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    fails("clips: the shipped clips are not here; set ASRLIB_DATA", clips)
    make_folder(tmp_path / "clips", ["a.wav\ts\tone"])
    assert len(clips()) == 1


@pytest.mark.parametrize("name", ["librispeech", "digits"])
def test_an_unknown_split_is_refused_before_anything_is_made(cache, monkeypatch, name):
    fails("has no split 'foo'; it has train", load_corpus, name, "foo", True)
    assert not cache.exists() or not any(cache.iterdir())
