"""Checkers of assignment 05, tokens: the splits of a text, and whether its labels fit into its frames."""

from __future__ import annotations

import itertools
import math

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.checks.lesson05 import LESSON, draw_text
from asrlib.teaching.exercise_data.draws import integer, number


def _needed(numbers):
    return len(numbers) + sum(len(list(run)) - 1 for _, run in itertools.groupby(numbers))


def _frames(seconds, reduction, speed, window_ms=25, hop_ms=10):
    """Window by window."""
    ends, features = 1000 * seconds / speed - window_ms, 0
    while features * hop_ms <= ends:
        features += 1
    return -(-features // reduction)


def _impossible(targets, seconds, reduction, speed=1.0):
    lost = [
        _needed(numbers) > _frames(length, reduction, speed)
        for numbers, length in zip(targets, seconds, strict=True)
    ]
    return 100 * sum(lost) / len(lost)


def draw_spoken(g):
    targets, seconds = [], []
    reduction = (1, 2, 4, 8)[integer(g, 0, 3)]
    speed = (0.8, 1.0, 1.25)[integer(g, 0, 2)]
    for _ in range(integer(g, 1, 8)):
        targets.append([integer(g, 1, 3) for _ in range(integer(g, 0, 9))])
        # near what is needed; never where a window ends just with the sound, for rounding decides there
        features = max(0, reduction * (_needed(targets[-1]) + integer(g, -1, 1)) - integer(g, 0, reduction))
        seconds.append((25 + 10 * features + (0.5, 9.5)[integer(g, 0, 1)]) * speed / 1000)
    return targets, seconds, reduction, speed


LOOK = LESSON + "'Labels against frames', and turn 3 at its end"


@task("05.impossible", LOOK, _impossible, draw_spoken, 60)
def impossible(ask: Examiner):
    ask([[5, 6, 7]], [0.12], 4).equals(
        0.0, "0.12 s hold 10 windows of 25 ms, one every 10 ms; one in four of them, rounded up, are 3 frames"
    )
    targets = [[1, 2, 3, 4], [1, 1, 2], [5, 6, 7], [3, 3, 3, 1, 2], [1, 2]]
    ask(targets, [0.2, 0.12, 0.12, 0.16, 0.12], 4).equals(
        40.0,
        suspects={
            "between two equal neighbors CTC needs a frame more, for a blank": 20.0,
            "a share; per cent are wanted": 0.4,
            "those that CTC can write; those that it cannot are wanted": 60.0,
            "their number; per cent of all are wanted": 2,
        },
    )
    ask([[1, 2, 3]], [0.059], 1, 2.0).equals(
        100.0, "at twice the speed the sound is half as long, and has fewer frames: 29.5 ms, one window"
    )
    ask([[1, 2, 3]], [0.029], 1, 0.5).equals(
        0.0, "at half the speed the sound is twice as long, and has more frames: 58 ms, four windows"
    )
    ask([list(range(61))], [60.02], 100).equals(
        100.0, "a minute and 20 ms hold 6,000 windows, 60 frames at 100-fold reduction, and 61 labels need 61"
    )
    ask([[1], []], [0.02, 0.004], 1).equals(
        50.0, "20 ms and 4 ms hold no window: there is no frame, and only the empty target fits into none"
    )
    ask([[1, 2, 3, 4]] * 4, [0.069, 0.059, 0.049, 0.039], 1).equals(
        50.0, "as many frames as are needed suffice; the last window must be whole"
    )


def _split(text, log_p):
    """Return the best split: shortest beginnings first."""
    best: dict[int, tuple[float, list]] = {0: (0.0, [])}
    for i in range(len(text)):
        if i not in best:
            continue
        score, pieces = best[i]
        for piece, p in log_p.items():
            end = i + len(piece)
            if text.startswith(piece, i) and score + p > best.get(end, (-math.inf,))[0]:
                best[end] = score + p, [*pieces, piece]
    return best[len(text)][1] if len(text) in best else None


def draw_split(g):
    pieces = {"a", "b"} | {draw_text(g, "ab", 3) + "ab"[integer(g, 0, 1)] for _ in range(6)}
    if integer(g, 0, 4) == 0:
        pieces.discard("b")
    return draw_text(g, "ab", 9), {piece: -number(g, 0.1, 6) for piece in sorted(pieces)}


@task("05.split", LESSON + "'Word pieces'", _split, draw_split, 40)
def split(ask: Examiner):
    log_p = {"a": -3.0, "b": -3.0, "ab": -1.0, "ba": -1.5, "aba": -5.0}
    ask("aba", log_p).equals(
        _split("aba", log_p),
        suspects={
            "the longest piece first; the most probable split is wanted": ["aba"],
            "single characters only": ["a", "b", "a"],
            "the right pieces in the reverse order": _split("aba", log_p)[::-1],
            "no split was found: of two sums of log probabilities the larger one is better": None,
        },
    )
    trap = {"a": -2.0, "ab": -0.5, "c": -9.0, "bc": -1.0}
    ask("abc", trap).equals(
        ["a", "bc"], "the best first piece does not begin the best split: compare sums of whole splits"
    )
    ask("abx", log_p).equals(None, "a text with a character that no piece has cannot be split: None")
    ask("", log_p).equals([], "the empty text is split into no pieces")
    got = ask("ab" * 150, log_p)
    got.equals(
        ["ab"] * 150, "300 characters: not all ways can be tried; keep the best split of each beginning"
    )
    if got.longer_than(0.5):
        raise ask.because(f"right, but 300 characters took {got.seconds:.1f} s; half a second will do")


def _total(text, log_p):
    """Return the sum over all splits, each of them listed."""

    def splits(rest):
        if not rest:
            yield 0.0
        for piece, p in log_p.items():
            if piece and rest.startswith(piece):
                yield from (p + others for others in splits(rest[len(piece) :]))

    return math.log(sum(map(math.exp, ways))) if (ways := list(splits(text))) else -math.inf


@task("05.total", LESSON + "'Word pieces'", _total, draw_split, 40)
def total(ask: Examiner):
    log_p = {"a": -3.0, "b": -3.0, "ab": -1.0, "ba": -1.5, "aba": -5.0}
    expected = _total("aba", log_p)
    ask("aba", log_p).equals(
        expected,
        suspects={
            "the most probable split alone; all splits add up": -4.0,
            "the probability; its natural logarithm is wanted": math.exp(expected),
            "a sum of log probabilities is a product; probabilities add": -22.5,
            "the empty text has probability 1, whose logarithm is 0: it begins with 0": expected + 1,
            "the whole text must be split; this is the sum of some beginning": _total("ab", log_p),
        },
    )
    ask("b", log_p).equals(-3.0, "one split only: its log probability")
    ask("abx", log_p).equals(-math.inf, "a text with a character that no piece has: probability 0, -inf")
    ask("", log_p).equals(0.0, "the empty text has one split, into no pieces, of probability 1")
    got = ask("a" * 2000, {"a": -1.0, "aa": -3.0})
    grown = math.log((math.exp(-1) + math.sqrt(math.exp(-2) + 4 * math.exp(-3))) / 2)
    # the sum grows like a Fibonacci number, by the larger root of x² = e⁻¹ x + e⁻³
    scale = math.exp(grown) / (2 * math.exp(grown) - math.exp(-1))
    got.equals(
        2000 * grown + math.log(scale),
        "2,000 characters: probabilities vanish to 0 and ways are too many; add logarithms with logsumexp",
    )
