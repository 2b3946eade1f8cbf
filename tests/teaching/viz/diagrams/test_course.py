import pytest
from diagrams import words

from asrlib.errors import InputError
from asrlib.teaching import viz


def test_the_pipeline_marks_where_the_reader_is_and_nothing_else():
    ax = viz.pipeline("features")
    assert [text for text in words(ax) if "you are here" in text] == ["you are here"]
    (bold,) = [text for text in ax.texts if text.get_gid() == "in a box" and text.get_fontweight() == "bold"]
    assert bold.get_text() == "features"
    assert not [text for text in words(viz.pipeline()) if "you are here" in text]


def test_the_pipeline_marks_several_stages_and_rows():
    marked = [text for text in words(viz.pipeline(("loss", "tokens", "training"))) if "you are here" in text]
    assert len(marked) == 3 and any(text.startswith("training") for text in marked)


def test_a_stage_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match="here is 'lattice'; use sound, features, .*training"):
        viz.pipeline("lattice")


def test_every_lesson_has_a_place_in_the_pipeline():
    import re

    numbers = set()
    for text in words(viz.pipeline()):
        for first, last in re.findall(r"(\d\d)(?:–(\d\d))?", text):
            numbers |= set(range(int(first), int(last or first) + 1))
    assert numbers == set(range(16))


def test_the_map_goes_from_hidden_markov_models_to_whisper():
    ax = viz.asr_map()
    where = {text.get_text().replace("\n", " "): text.get_position() for text in ax.texts}
    order = ["Dragon, IBM", "CTC", "RNN-T", "Listen, Attend and Spell", "ContextNet, Conformer", "Whisper"]
    assert [where[name][0] for name in order] == sorted(where[name][0] for name in order)
    assert where["ContextNet, Conformer"][1] < where["CTC"][1]  # on the transducer's line, below CTC's
