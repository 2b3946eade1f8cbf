"""asrlib.teaching.contexts: the published table, this kit's, and what scatter allows one to say."""

import statistics

import pytest

from asrlib.errors import InputError
from asrlib.teaching import contexts
from asrlib.teaching.contexts import clearly_better, measured, published, saturation

BEST = "6L-768D-6H rotary 1.5M"


def test_the_published_means_are_those_of_the_paper():
    curve = published(BEST, "earnings22", "test")
    assert list(curve)[0] == 10.24 and list(curve)[-1] == 3600.0 and len(curve) == 10
    means = [round(statistics.mean(rates), 2) for rates in curve.values()]
    assert means == [20.68, 19.68, 19.32, 18.71, 18.45, 18.27, 18.28, 18.07, 18.12, 18.07]
    assert {len(rates) for rates in curve.values()} == {3}


def test_data_sets_and_splits_are_apart():
    names = ("earnings22", "test"), ("earnings22", "dev"), ("tedlium", "test"), ("rev16", "test")
    assert len({str(published(BEST, *name)) for name in names}) == 4
    with pytest.raises(InputError, match="long-context-published.tsv has no rows for x, tedlium, test"):
        published("x", "tedlium", "test")


def test_better_is_beyond_the_scatter():
    assert clearly_better([10.0, 10.2, 9.8], [9.0, 9.2, 8.8])
    assert not clearly_better([10.0, 11.0, 9.0], [9.9, 9.0, 10.5])
    assert not clearly_better([9.0, 9.2, 8.8], [10.0, 10.2, 9.8])


def test_saturation_is_the_shortest_context_that_none_beats():
    curve = {10.0: [9.0, 9.1], 20.0: [8.0, 8.1], 40.0: [8.0, 8.2], 80.0: [7.9, 8.2]}
    assert saturation(curve) == 20.0
    assert saturation(curve | {160.0: [6.0, 6.1]}) == 160.0
    assert saturation({10.0: [1.0, 1.1]}) == 10.0


def test_a_stricter_rule_ends_the_benefit_earlier():
    curve = {10.0: [9.0, 9.1], 20.0: [8.0, 8.1], 40.0: [7.8, 7.9]}
    assert saturation(curve) == 40.0 and saturation(curve, errors=3.0) == 20.0
    found = [published(BEST, name, "test") for name in ("earnings22", "tedlium", "rev16")]
    assert [round(saturation(rates)) for rates in found] == [1311, 328, 82]
    assert [round(saturation(rates, errors=3.0)) for rates in found] == [164, 164, 20]


def test_measured_rates_are_read_for_each_seed_and_part(tmp_path, monkeypatch):
    rows = ["model\ttrained_s\tseed\twindow_s\tpast\tpart\terrors\twords"]
    rows += [f"m\t{t}\t{seed}\t{w}\tintact\t{part}\t{e + seed}\t50"
             for t, w, e in ((8.0, 2.0, 20), (8.0, 8.0, 5), (2.0, 2.0, 10))
             for seed in (0, 1) for part in ("all", "names")]  # fmt: skip
    (tmp_path / contexts.MEASURED).write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    contexts._rows.cache_clear()
    try:
        assert measured("m", trained=8.0) == {2.0: [40.0, 42.0], 8.0: [10.0, 12.0]}
        assert measured("m", "names", trained=None) == {2.0: [20.0, 22.0], 8.0: [10.0, 12.0]}
        with pytest.raises(InputError, match="no rows for m, all, masked"):
            measured("m", past="masked")
    finally:
        contexts._rows.cache_clear()


# What lesson 15 says of the shipped table, true of every seed.

MODELS = "conformer-whistles", "contextnet-whistles"


@pytest.mark.parametrize("model", MODELS)
def test_two_minutes_are_better_than_two_seconds_beyond_the_scatter_of_seeds(model):
    curve = measured(model)
    assert list(curve) == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    assert {len(rates) for rates in curve.values()} == {3}
    assert max(curve[128.0]) < 0.8 * min(curve[2.0])
    assert clearly_better(curve[2.0], curve[128.0])


@pytest.mark.parametrize("model", MODELS)
def test_the_whistlers_range_is_what_the_past_is_used_for(model):
    intact, *others = (
        measured(model, "words", past=f"tail, {past}")[128.0]
        for past in ("intact", "shuffled", "names", "whistler", "masked")
    )
    shuffled, names, whistler, masked = others
    for seed in range(3):
        assert abs(shuffled[seed] - intact[seed]) < 5 and abs(names[seed] - intact[seed]) < 5
        assert min(whistler[seed], masked[seed]) > intact[seed] + 20
