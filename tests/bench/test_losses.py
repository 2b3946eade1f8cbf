"""The benchmark runs, and its table says what it should."""

import pytest

from asrlib.bench.decode import bench_decode
from asrlib.bench.losses import bench_losses


def test_bench_losses_prints_one_table(capsys):
    rows = bench_losses(repeats=1, device="cpu", quick=True)
    printed = capsys.readouterr().out
    names = [row.name for row in rows]
    assert {"asrlib.rnnt_loss", "asrlib.joint_rnnt_loss", "asrlib.ctc_loss"} <= set(names)
    assert names[0] == "torchaudio.functional.rnnt_loss"  # what the others are compared with
    for row in rows:
        assert row.name in printed and row.seconds > 0
        if "approximate" not in row.name:
            assert row.loss_error < 1e-4 and row.gradient_error < 1e-4
        else:
            assert row.loss_error is None
    assert "CPU, " in printed.splitlines()[0] and "torch " in printed.splitlines()[0]


def test_bench_decode_compares_the_same_search_everywhere(capsys):
    models = pytest.importorskip("torchaudio.models")
    assert models.RNNTBeamSearch
    rows = bench_decode(repeats=1, quick=True)
    printed = capsys.readouterr().out
    assert [row.name for row in rows] == [
        "torchaudio RNNTBeamSearch, beam 1",
        "asrlib greedy_rnnt, batched",
        "asrlib beam_rnnt, batched, beam 1",
        "torchaudio RNNTBeamSearch, beam 5",
        "asrlib beam_rnnt, batched, beam 5",
    ]
    greedy, narrow = rows[1], rows[2]
    assert greedy.labels == narrow.labels > 0
    for row in rows:
        assert row.name in printed and row.seconds > 0
    assert "RTF" in printed and "of 9 clips alike" in printed
