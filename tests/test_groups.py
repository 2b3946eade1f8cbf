"""Error rates of groups of people: who is in which group, and how sure a rate is."""

import numpy as np
import pytest
import soundfile
from commandline import edit

from asrlib.data.corpora import load_corpus
from asrlib.errors import InputError
from asrlib.groups import format_groups, group_of, rates_by_group

ROWS = [  # speaker, sex, reference, hypothesis
    ("ann", "f", "one two", "one two"),
    ("ann", "f", "three", "tree"),
    ("bea", "f", "one", "one"),
    ("cid", "m", "one two three four", "one"),
    ("dan", "", "five", "five six"),
]


@pytest.fixture
def people(tmp_path):
    folder = tmp_path / "people"
    folder.mkdir()
    lines = ["path\tspeaker\tsex\ttext"]
    for number, (speaker, sex, text, _) in enumerate(ROWS):
        soundfile.write(folder / f"{number}.wav", np.zeros(800), 8000)
        lines.append(f"{number}.wav\t{speaker}\t{sex}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return load_corpus(folder)


PAIRS = {f"{number}.wav": row[2:] for number, row in enumerate(ROWS)}


def test_the_rates_of_each_group_and_of_all(people):
    rows = rates_by_group(people, PAIRS, group_of(people, "sex"))
    found = {row.group: (row.speakers, row.utterances, row.words.length, row.words.rate) for row in rows}
    assert found == {
        "all": (4, 5, 9, pytest.approx(100 * 5 / 9)),
        "f": (2, 3, 4, 25.0),
        "m": (1, 1, 4, 75.0),
        "not given": (1, 1, 1, 100.0),
    }
    assert next(iter(found)) == "all"


def test_a_group_called_all_is_not_counted_twice(people):
    groups = dict.fromkeys(PAIRS, "all") | {"4.wav": "other"}
    rows = rates_by_group(people, PAIRS, groups)
    found = [(row.group, row.utterances, row.words.length) for row in rows]
    assert found == [("all", 5, 9), ("all", 4, 8), ("other", 1, 1)]


def test_an_interval_draws_speakers_and_not_utterances(people):
    """Ann has 1 error in 3 words and Bea none in 1: the draws are Ann twice, Bea twice, or both."""
    row = next(row for row in rates_by_group(people, PAIRS, group_of(people, "sex")) if row.group == "f")
    assert (row.low, row.high) == (0.0, pytest.approx(100 / 3))
    alone = {row.group: row.low for row in rates_by_group(people, PAIRS, group_of(people, "speaker"))}
    assert alone.pop("all") is not None and set(alone.values()) == {None}
    assert set(alone) == {"ann", "bea", "cid", "dan"}


def test_an_interval_holds_the_rate_of_many_speakers_in_most_draws():
    """Of 200 samples of 30 speakers with a known rate, the interval misses it in about one of twenty."""
    draw = np.random.default_rng(5)
    from lhotse import CutSet, MonoCut, SupervisionSegment

    missed = 0
    for sample in range(200):
        cuts, pairs = [], {}
        for speaker in range(30):
            wrong = draw.random(10) < draw.choice([0.1, 0.5])  # half of the people are hard to understand
            name = f"{speaker}"
            pairs[name] = (" ".join("a" * 10), " ".join("b" if w else "a" for w in wrong))
            supervision = SupervisionSegment(name, name, 0, 1, speaker=name)
            cuts.append(MonoCut(name, 0, 1, 0, supervisions=[supervision]))
        row = rates_by_group(CutSet.from_cuts(cuts), pairs, dict.fromkeys(pairs, "x"), seed=sample)[0]
        missed += not row.low <= 30 <= row.high
    assert 2 <= missed <= 24


def test_the_accent_of_a_synthetic_voice(people):
    for cut, voice in zip(people, ["en-us+f3", "en-gb-x-rp+r2012", "en-us+m1", "ann", "de+x"], strict=True):
        cut.supervisions[0].speaker = voice
    assert [*group_of(people, "accent").values()] == ["en-us", "en-gb-x-rp", "en-us", "not given", "de"]


def test_a_speaker_without_a_name_leaves_the_interval_out(people):
    people[0].supervisions[0].speaker = None
    rows = rates_by_group(people, PAIRS, group_of(people, "sex"))
    assert [row.low for row in rows if row.group in ("all", "f")] == [None, None]


def test_without_errors_there_is_no_interval(people):
    pairs = PAIRS | {"1.wav": ("three", "three")}
    rows = rates_by_group(people, pairs, group_of(people, "sex"))
    row = next(row for row in rows if row.group == "f")
    assert (row.words.rate, row.low, row.high) == (0.0, None, None)


def test_a_group_that_says_nothing(people):
    pairs = PAIRS | {"3.wav": ("", "hm")}
    rows = rates_by_group(people, pairs, group_of(people, "sex"))
    assert [row.group for row in rows] == ["all", "f", "not given"]
    assert rows[0].words.insertions == 2 and rows[0].low is not None


def test_a_column_that_is_not_there(people):
    with pytest.raises(InputError, match="does not say the age of any utterance: give manifest.tsv"):
        group_of(people, "age")


def test_the_command_prints_a_table(asrlib, fails, model, corpus, tmp_path):
    edit(corpus / "manifest.tsv", "\ttext", "\tcity\ttext")
    manifest = corpus / "manifest.tsv"
    header, *lines = manifest.read_text().splitlines()
    place = header.split("\t").index("city")
    for number, line in enumerate(lines):
        fields = line.split("\t")
        fields.insert(place, ["oslo", "rome"][number % 2])
        lines[number] = "\t".join(fields)
    manifest.write_text("\n".join([header, *lines]) + "\n")
    command = ["test", model, "--corpus", corpus, "--output", tmp_path / "r.tsv"]
    code, printed, err = asrlib(*command, "--by", "city", "--by", "speaker")
    assert (code, err) == (0, "")
    tables = printed.split("\n\n")[1:]
    assert [table.split("\t")[0] for table in tables] == ["city", "speaker"]
    assert {line.split("\t")[0] for line in tables[0].splitlines()[1:]} == {"all", "oslo", "rome"}
    fails(*command, "--by", "age", naming=["does not say the age"])


def test_the_table(people):
    lines = format_groups("sex", rates_by_group(people, PAIRS, group_of(people, "sex"))).splitlines()
    assert lines[0].startswith("sex\tspeakers\tutterances\twords\tWER %")
    assert lines[2].split("\t")[:5] == ["f", "2", "3", "4", "25.00"]
    assert lines[3].split("\t") == ["m", "1", "1", "4", "75.00", "-"]
