"""The digit recognizers' recipe and sets of speakers on stand-ins: who is tested, what starts from what."""

import json
from collections import Counter

import pytest
from folders import noise_folder

from asrlib.config.parse import load_config, override
from asrlib.data.corpora import load_corpus
from asrlib.data.grammar import DIGITS
from asrlib.errors import InputError
from asrlib.metrics import ErrorRate
from asrlib.models.build import build_model
from asrlib.recognizer import Recognizer
from asrlib.text.labels import Tokenizer
from asrlib.training import command_recipe, digit_sets, digit_words
from asrlib.training import digit_recipe as module
from asrlib.training.digit_recipe import score
from asrlib.training.digit_sets import (
    EVERYONE,
    OTHERS,
    fewer_digits,
    folds,
    held_out,
    people,
    phone_cuts,
    training_cuts,
)
from asrlib.training.digit_words import READ, Run, accented_digits, synthetic_words


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")

    def write(name, utterances):
        noise_folder(folder / name, utterances, lambda text: 0.3 * len(text.split()), 8000)

    write("fsdd", [(speaker, digit) for speaker in ("ann", "bob") for digit in DIGITS])
    write("speechocean-train", [*((f"s{n}", "ONE OH") for n in range(5)), ("t1", "TWO MEN")])
    crowd = [f"c{n}" for n in range(20)]
    write("commands", [(person, word) for person in crowd for word in ("zero", "bed")])
    write("an4", [(f"a{n}", text) for n in range(10) for text in ("O ONE", "GO SIX")])
    for name in READ:
        write(name, [(f"{name}1", "HE HAD TWO")])
    write("digits", [(f"v{n}", "four five") for n in range(10)])
    # the synthetic corpora ``commands`` and ``dictionary``
    write("synthetic", [(f"w{n}", word) for n in range(10) for word in ("eight", "tree")])
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch, real):
    """Few strings, little synthesis, and runs where a stand-in for the aligner puts them."""
    monkeypatch.setattr(digit_sets, "MIXED", 100)
    monkeypatch.setattr(digit_sets, "STRUNG", 10)
    monkeypatch.setattr(digit_sets, "TEST_STRINGS", 4)

    def load(name, split=None):
        synthetic = {"digits": "digits", "commands": "synthetic", "dictionary": "synthetic"}
        return load_corpus(real / synthetic[name] if name in synthetic else name, split)

    def find(aligner, cut, name):
        yield Run(cut.id, ("two",), 0.0, 0.3, -0.5)

    for each in (digit_sets, digit_words, command_recipe):
        monkeypatch.setattr(each, "load_corpus", load)
    monkeypatch.setattr(digit_words, "find_runs", find)
    for name, few in (("FOREIGN", 2), ("ENGLISH", 1), ("RESPELLED", ["fr"]), ("ACCENTS", ["en-gb"])):
        monkeypatch.setattr(digit_words, name, few)


def speakers(cuts):
    return {str(cut.supervisions[0].speaker) for cut in cuts}


def texts(cuts):
    return [cut.supervisions[0].text for cut in cuts]


def test_who_is_tested_is_not_trained_on(real, tmp_path):
    hidden = {"ann", "bob", *(f"s{n}" for n in range(5))}
    cuts = training_cuts(real, tmp_path, OTHERS)
    assert not hidden & speakers(cuts) and len({cut.id for cut in cuts}) == len(cuts)
    tests = held_out(real, OTHERS)
    assert set(tests) == {"strung ann", "strung bob", "spoken ann", "spoken bob", "an4", "commands"}
    assert {
        s for name, test in tests.items() for s in speakers(test) if name[:2] == "s" or " " in name
    } == hidden
    later = training_cuts(real, tmp_path, EVERYONE)
    assert {"ann", "bob"} <= people(real, "fsdd", EVERYONE) and hidden - {"ann", "bob"} <= speakers(later)
    assert texts(later).count("one zero") >= 5 * digit_sets.REPEATS["speechocean-train"]
    assert not hidden & speakers(phone_cuts(real)) and "t1" in speakers(phone_cuts(real))
    # the speakers of AN4's and the commands' dev and test splits are never trained on
    for name in ("an4", "commands"):
        tested = speakers(held_out(real, EVERYONE)[name])
        assert tested and not tested & people(real, name, EVERYONE)
        assert not tested & speakers(later)


def test_training_data_has_every_source(real, tmp_path):
    cuts = training_cuts(real, tmp_path, OTHERS)
    assert {*DIGITS} <= {word for text in texts(cuts) for word in text.split()}
    assert texts(cuts).count("four five") >= 8 and texts(cuts).count("zero one") >= 3 * 8
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == sorted(
        ["an4", "speechocean-train", *READ]
    )
    # what ann says by herself, as it was recorded
    single = [cut.id for cut in training_cuts(real, tmp_path, EVERYONE) if speakers([cut]) == {"ann"}]
    alone = [key for key in single if key.startswith("digits/") and "connected" not in key]
    assert len(alone) == digit_sets.SINGLE * len(DIGITS)
    # and in strings of pieces, with those whom this set has heard
    assert any(key.startswith("mixed") for key in single)
    assert {"bob"} == {p.speaker for p in digit_sets.pieces(real, tmp_path, "ann") if p.source == "fsdd"}


def test_digits_are_cut_closely_in_training_and_not_in_tests(real, tmp_path, monkeypatch):
    asked, usual = [], digit_sets.connected_digits

    def connected(*arguments, closely=0.0, **named):
        asked.append(closely)
        return usual(*arguments, closely=closely, **named)

    monkeypatch.setattr(digit_sets, "connected_digits", connected)
    training_cuts(real, tmp_path, "ann")
    held_out(real, "ann")
    assert asked == [digit_sets.CLOSELY, 0.0]


def test_a_streaming_model_hears_long_pauses(real, tmp_path, monkeypatch):
    monkeypatch.setattr(digit_sets, "MIXED", 10)
    at_once, waiting = (list(training_cuts(real, tmp_path, OTHERS, share)) for share in (0.0, 0.5))
    mixed = [[cut.duration for cut in cuts if cut.id.startswith("mixed")] for cuts in (at_once, waiting)]
    assert [*map(len, mixed)] == [10, 10] and max(mixed[0]) < 6 < max(mixed[1])


def test_digits_are_heard_among_other_words(real, tmp_path):
    cuts = list(training_cuts(real, tmp_path, OTHERS))
    assert len({cut.id for cut in cuts}) == len(cuts)
    assert {"bed", "go", "tree"} <= {*digit_sets.vocabulary(cuts)}
    strings = [cut for cut in cuts if cut.id.startswith("mixed")]
    words = [word for text in texts(strings) for word in text.split()]
    assert 0.1 < words.count("tree") / len(words) < 0.25
    assert {*words} == {*DIGITS, "tree"}
    assert any(text == "bed" for text in texts(cuts))


def test_no_digit_alone_is_more_frequent_than_the_others(real):
    cuts = list(command_recipe.training_cuts(real))
    counted = Counter(texts(cuts))
    assert counted["zero"] > 5 and counted["bed"] > 5
    fewer = fewer_digits(cuts, 5)
    assert Counter(texts(fewer)) == Counter({**counted, "zero": 5, "eight": min(5, counted["eight"])})
    kept = [cut.id for cut in fewer if cut.supervisions[0].text == "zero"]
    all_zeros = [cut.id for cut in cuts if cut.supervisions[0].text == "zero"]
    assert len({*kept}) == 5 and all_zeros.index(kept[-1]) > len(all_zeros) // 2  # from all of them
    assert len(fewer_digits(cuts, 10_000)) == len(cuts)


def test_synthetic_voices_say_every_digit_with_every_accent():
    pieces = accented_digits()
    assert {piece.words for piece in pieces} == {(word,) for word in DIGITS}
    accents = Counter(piece.speaker.split("+")[0] for piece in pieces)
    assert accents == {"fr": 2 * len(DIGITS), "en-gb": len(DIGITS)}
    assert all(0.1 < len(piece.take.samples) / digit_words.RATE < 1.5 for piece in pieces)
    again = accented_digits()
    assert [piece.speaker for piece in again] == [piece.speaker for piece in pieces]
    assert {piece.words for piece in synthetic_words()} == {("eight",), ("tree",)}


def test_one_group_after_the_other_is_left_out(real, tmp_path):
    for name, group in folds(real).items():
        cuts = training_cuts(real, tmp_path, name)
        assert not {name, *group} & speakers(cuts)
        assert {"ann", "bob"} - {name} <= speakers(cuts)
        tests = held_out(real, name)
        assert set(tests) == {f"strung {name}", f"spoken {name}", "an4", "commands"}
        assert speakers(tests[f"spoken {name}"]) == {*group}
    with pytest.raises(InputError, match="'zoe'; choose others, everyone, ann, bob"):
        held_out(real, "zoe")


def test_every_spoken_string_is_in_a_group(real):
    assert list(folds(real)) == ["ann", "bob"]
    assert sorted(sum(folds(real).values(), [])) == [f"s{n}" for n in range(5)]


@pytest.fixture
def trained(monkeypatch, tiny_model):
    """What ``train`` is called with; nothing is trained."""
    calls = []

    def train(config, cuts, out, resume=False, init=None, show_progress=True):
        calls.append((config, out, init, resume))
        out.mkdir(parents=True)
        words = digit_sets.vocabulary(cuts) if config.tokenizer.kind == "words" else ["ah"]
        recognizer = Recognizer.load(tiny_model)
        settled = override(recognizer.config, [f"tokenizer.vocabulary={len(words) + 1}"])
        settled.decoding = config.decoding
        return Recognizer(settled, build_model(settled), Tokenizer("words", words))

    monkeypatch.setattr(module, "train", train)
    errors = ErrorRate(1, 2, 3, 60)
    monkeypatch.setattr(module, "evaluate", lambda *_: type("", (), {"words": errors}))
    return calls


POOLED = {"substitutions": 4, "deletions": 8, "insertions": 12, "length": 240, "rate": 10.0}


def test_a_model_is_trained_without_each_fold_and_on_everyone(real, trained, tmp_path):
    out = tmp_path / "off"
    result = module.train_digits(real, out, settings=["training.seed=7"], resume=True)
    phones = [(out / "words-phones", None), (out / "phones", out / "words-phones")]
    digits = []
    for name in ("ann", "bob", "everyone"):
        runs = [out / "phones", out / "cycle-1" / name, out / "cycle-2" / name, out / name]
        digits += zip(runs[1:], runs, strict=False)
    assert [(run, init) for _, run, init, _ in trained] == phones + digits
    assert [config.training.seed for config, *_ in trained] == [7, 7, *[7, 8, 9] * 3]
    assert [config.training.max_steps for config, *_ in trained[2:]] == [*module.CYCLES] * 3
    assert all(resume for *_, resume in trained)
    assert all(config.augment.expander_probability == 0.4 for config, *_ in trained[2:])
    assert {config.name for config, *_ in trained[2:]} == {"contextnet-digits"}
    assert result["folds"]["ctc"]["pooled"] == POOLED and "pooled" not in result["everyone"]["ctc"]
    model = Recognizer.load(out / "model")
    assert model.warps == [1.0] and model.uses_ctc and model.tokenizer.labels == sorted(DIGITS)
    assert json.loads((out / "model" / "metrics.json").read_text())["wer"] == result
    for speakers in ("ann", "bob", "everyone"):
        assert Recognizer.load(out / "digits" / speakers).tokenizer.labels == sorted(DIGITS)


def test_a_streaming_model_starts_from_the_offline_one_of_its_set(real, trained, tmp_path):
    with pytest.raises(InputError, match="ann is missing: init must be the folder of a finished"):
        module.train_streaming(real, tmp_path / "on", tmp_path / "off")
    for name in ("ann", "bob", "everyone"):
        (tmp_path / "off" / "digits" / name).mkdir(parents=True)
    result = module.train_streaming(real, tmp_path / "on", tmp_path / "off")
    assert {config.name for config, *_ in trained} == {"contextnet-digits-streaming"}
    sets = ["ann", "bob", "everyone"]
    off, first, on = (tmp_path / name for name in ("off", "on/cycle-1", "on"))
    expected = [step for name in sets for step in ((first / name, off / name), (on / name, first / name))]
    assert [(run, init) for _, run, init, _ in trained] == expected
    assert all(config.augment.expander_probability == 0.4 for config, *_ in trained)
    assert [config.training.max_steps for config, *_ in trained] == [*module.STREAMED_CYCLES] * 3
    assert {config.features.tail_ms for config, *_ in trained} == {400}
    hears = {config.tokenizer.vocabulary for config, *_ in trained}
    assert min(hears) > len(DIGITS) + 1  # other words, which are forgotten at last
    assert result["folds"]["transducer"]["pooled"] == POOLED
    assert set(result["everyone"]["ctc"]) == {"an4", "commands"}
    assert Recognizer.load(tmp_path / "on" / "model").tokenizer.labels == sorted(DIGITS)


def test_the_settings_are_those_of_the_configurations():
    override(load_config(module.PHONES), module.ALL_PHONES)
    override(load_config(module.OFFLINE), module.DIGITS_ONLY)
    override(load_config(module.STREAMING), module.STREAMED)


def test_the_encoder_that_learns_phones_fits_the_one_of_digits():
    phones, digits = (build_model(load_config(name)) for name in (module.PHONES, module.OFFLINE))
    shapes = [
        {name: value.shape for name, value in model.encoder.state_dict().items()}
        for model in (phones, digits)
    ]
    assert shapes[0] == shapes[1]
    offline = override(load_config(module.OFFLINE), module.DIGITS_ONLY)
    assert vars(load_config(module.PHONES).features) == vars(offline.features)


def test_the_heads_are_scored_apart(monkeypatch, tiny_model):
    asked = []

    def evaluate(recognizer, cuts):
        asked.append((recognizer.config.decoding.head, cuts))
        return type("", (), {"words": ErrorRate(0, 0, 1, 10)})

    monkeypatch.setattr(module, "evaluate", evaluate)
    recognizer = Recognizer.load(tiny_model)
    recognizer.config.decoding.head = "ctc"
    found = score(recognizer, {"strung ann": "cuts"})
    assert asked == [("ctc", "cuts"), ("transducer", "cuts")]
    assert found["transducer"]["pooled"]["rate"] == 10 and recognizer.config.decoding.head == "ctc"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="fsdd is missing"):
        module.train_digits(tmp_path, tmp_path / "out")
