"""asrlib.data.public and .preparation: from archives on a local server to cuts, corpus by corpus."""

from dataclasses import replace

import pytest
from published import files_in, fsdd, librispeech, one_line, publish, sound, tarball

from asrlib import load_corpus
from asrlib.data.audio import cut_audio
from asrlib.data.corpora import CORPORA, summary
from asrlib.data.public import PUBLIC
from asrlib.errors import InputError

pytestmark = pytest.mark.usefixtures("cache")


def test_fsdd(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    folder = CORPORA["fsdd"].prepare()
    assert folder == cache / "fsdd"
    sizes = {split: len(CORPORA["fsdd"].load(split)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 8, "dev": 4, "test": 4}
    cut = CORPORA["fsdd"].load("dev")[0]
    assert (cut.id, cut.supervisions[0].text, cut.supervisions[0].speaker) == ("0_george_5", "zero", "george")
    assert cut.load_audio().shape == (1, 2400)
    splits = [cut.custom["split"] for cut in CORPORA["fsdd"].load()]
    assert splits == 8 * ["train"] + 4 * ["dev"] + 4 * ["test"]
    assert len(load_corpus(folder)) == 16
    header, first, *rest = (folder / "manifest.tsv").read_text().splitlines()
    assert header == "path\tspeaker\tseconds\ttext" and len(rest) == 15
    path, speaker, seconds, text = first.split("\t")
    assert (folder / path).is_file() and (speaker, seconds, text) == ("george", "0.300", "zero")
    assert "test: 4 utterances, 0.00 hours" in summary(CORPORA["fsdd"])
    assert not [name for name in files_in(folder) if "part" in name]


def test_second_call_makes_no_request(server, monkeypatch, cache):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    CORPORA["fsdd"].prepare()
    before = files_in(cache), len(server.requests)
    assert CORPORA["fsdd"].prepare() == cache / "fsdd"
    assert (files_in(cache), len(server.requests)) == before and before[1] == 1


def test_librispeech_and_the_960_hours_share_a_folder(server, monkeypatch, tmp_path):
    whole = CORPORA["librispeech-960"]
    contents = [
        librispeech(archive.url.split("/")[-1].removesuffix(".tar.gz"), [7]) for archive in whole.archives
    ]
    publish(server, monkeypatch, "librispeech-960", contents)
    by_name = {archive.path: archive for archive in CORPORA["librispeech-960"].archives}
    small = CORPORA["librispeech"]
    monkeypatch.setitem(
        CORPORA,
        "librispeech",
        replace(small, archives=tuple(by_name[a.path] for a in small.archives)),
    )
    out = tmp_path / "elsewhere"
    assert CORPORA["librispeech"].prepare(out) == out and len(server.requests) == 5
    assert len(CORPORA["librispeech"].load("train", out)) == 2
    CORPORA["librispeech-960"].prepare(str(out))
    assert len(server.requests) == 7  # train-clean-360 and train-other-500 alone
    assert len(CORPORA["librispeech-960"].load("train", out)) == 6
    cut = CORPORA["librispeech"].load("test-other", out)[1]
    assert (cut.id, cut.supervisions[0].text) == ("7-1-0001", "IT'S TWO")


def test_mini_librispeech_tests_on_other_speakers_than_it_develops_on(server, monkeypatch):
    contents = [librispeech("train-clean-5", [1]), librispeech("dev-clean-2", [3, 5, 8])]
    publish(server, monkeypatch, "mini-librispeech", contents)
    CORPORA["mini-librispeech"].prepare()
    speakers = {
        split: {cut.supervisions[0].speaker for cut in CORPORA["mini-librispeech"].load(split)}
        for split in ("train", "dev", "test")
    }
    assert speakers == {"train": {"1"}, "dev": {"3", "8"}, "test": {"5"}}


def test_speech_commands(server, monkeypatch):
    clip = sound(rate=16000)
    names = ["yes/aa_nohash_0.wav", "yes/bb_nohash_0.wav", "bed/cc_nohash_0.wav"]
    noise = ["_background_noise_/running_tap.wav", "_background_noise_/pink_noise.wav"]
    train = dict.fromkeys([f"./{name}" for name in names + noise], clip)
    train |= {"./validation_list.txt": names[1] + "\n", "./testing_list.txt": names[2] + "\n"}
    test = [f"./no/{letter}_nohash_0.wav" for letter in "badec"]
    test = dict.fromkeys([*test, "./_unknown_/bed_ee_nohash_0.wav", "./_silence_/0.wav"], clip)
    publish(server, monkeypatch, "speech-commands", [tarball(train), tarball(test)])
    CORPORA["speech-commands"].prepare()
    texts = {
        split: [cut.supervisions[0].text for cut in CORPORA["speech-commands"].load(split)]
        for split in ("train", "dev", "test")
    }
    assert texts == {"train": ["yes"], "dev": ["yes"], "test": ["bed"] + 5 * ["no"]}  # no noise, no silence
    ids = [cut.id for cut in CORPORA["speech-commands"].load("test")]
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
    CORPORA["tedlium"].prepare()
    (cut,) = CORPORA["tedlium"].load("train")
    assert (cut.id, cut.supervisions[0].text.split()) == ("train-0", ["they're", "here"])
    assert (cut.start, cut.duration) == (0.0, 0.9) and cut_audio(cut).shape == (14400,)


def test_yesno(server, monkeypatch):
    clip = sound(seconds=0.1)
    names = ["_".join(f"{n:08b}") for n in range(60)]
    publish(server, monkeypatch, "yesno", [tarball({f"waves_yesno/{name}.wav": clip for name in names})])
    CORPORA["yesno"].prepare()
    splits = {split: CORPORA["yesno"].load(split) for split in ("train", "dev", "test")}
    assert {split: len(cuts) for split, cuts in splits.items()} == {"train": 25, "dev": 5, "test": 30}
    assert splits["test"][0].supervisions[0].text == "NO NO NO NO NO NO NO YES"
    ids = [cut.id for cuts in splits.values() for cut in cuts]
    assert len(set(ids)) == 60


def test_moved_folder(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "fsdd", [fsdd()])
    CORPORA["fsdd"].prepare(tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(InputError) as error:
        CORPORA["fsdd"].load("test", tmp_path / "there")
    one_line(error, "moved", tmp_path / "there")


def test_catalogue_is_complete():
    """Every archive has a hash of full length and a size, and every corpus what the command line promises."""
    wanted = {"librispeech", "mini-librispeech", "speech-commands", "tedlium", "earnings22", "yesno", "fsdd"}
    assert wanted <= {corpus.name for corpus in PUBLIC} <= set(CORPORA)
    for corpus in PUBLIC:
        assert "test" in corpus.splits and corpus.license, corpus.name
        assert corpus.volume or corpus.archives
        for archive in corpus.archives:
            kind, value = archive.checksum.split(":")
            assert len(bytes.fromhex(value)) == {"sha256": 32, "md5": 16}[kind]
            assert archive.url.startswith("https://") and archive.path.startswith("downloads/")
            assert archive.size > 1e6
