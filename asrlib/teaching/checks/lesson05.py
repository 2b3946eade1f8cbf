"""Checkers of assignment 05: tokens."""

from __future__ import annotations

import itertools
import math
from collections import Counter

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, number

LESSON = "lesson 05, "
LABELS = list("abc de")


def _text(g, letters="abcde ", longest=8):
    return "".join(letters[integer(g, 0, len(letters) - 1)] for _ in range(integer(g, 0, longest)))


@task(
    "05.encode",
    LESSON + "'Characters'",
    lambda text, labels: [labels.index(c) + 1 for c in text],
    lambda g: (_text(g), LABELS),
)
def encode(ask: Examiner):
    ask("bad", LABELS).equals(
        [2, 1, 5],
        suspects={
            "numbers from 0: 0 is blank, so they begin at 1": [1, 0, 4],
            "the characters' codes; their places among the labels are wanted": [98, 97, 100],
        },
    )
    ask("a a", LABELS).equals([1, 4, 1], "the space is a label like the others, if it is among them")
    ask("", LABELS).equals([], "the empty text has no labels")
    got = ask("axe", LABELS)
    if not got.error:
        got.satisfies(
            False, "a ValueError, for 'x' is not among the labels", "an unknown character is passed over"
        )
    if "ValueError" not in got.error or "x" not in got.error.split("\n")[0]:
        raise ask.because(
            f"an unknown character must be a ValueError that names it, not {got.error.splitlines()[0]}"
        )


@task(
    "05.decode",
    LESSON + "'Characters'",
    lambda numbers, labels: "".join(["", *labels][n] for n in numbers),
    lambda g: ([integer(g, 0, 6) for _ in range(integer(g, 0, 8))], LABELS),
)
def decode(ask: Examiner):
    ask([2, 1, 5], LABELS).equals(
        "bad",
        suspects={
            "numbers begin at 1: label 1 is the first": "cbe",
            "a list of characters; one text is wanted": ["b", "a", "d"],
            "spaces between the characters": "b a d",
        },
    )
    ask([0, 2, 0, 0, 1], LABELS).equals("ba", "blanks, 0, are skipped (and are not the last label)")
    ask([1, 1], LABELS).equals(
        "aa", "equal neighbours stay: merging them is CTC's affair, not the tokenizer's"
    )
    ask([], LABELS).equals("", "no labels, the empty text")


def _merge(pieces, pair):
    merged = []
    rest = list(pieces)
    while rest:
        if rest[:2] == list(pair):
            merged.append(pair[0] + pair[1])
            rest = rest[2:]
        else:
            merged.append(rest.pop(0))
    return merged


def draw_pieces(g):
    pieces = [("a", "b", "ab")[integer(g, 0, 2)] for _ in range(integer(g, 0, 8))]
    return pieces, (("a", "b", "ab")[integer(g, 0, 2)], ("a", "b")[integer(g, 0, 1)])


@task("05.merge_pair", LESSON + "'Word pieces'", _merge, draw_pieces, 40)
def merge_pair(ask: Examiner):
    ask(["x"], ("x", "y")).equals(["x"], "the last piece has no right neighbour")
    ask(list("banana"), ("a", "n")).equals(
        ["b", "an", "an", "a"],
        suspects={
            "only the first occurrence is merged": ["b", "an", "a", "n", "a"],
            "the pair's second piece is still there": ["b", "an", "n", "an", "n", "a"],
            "the merged text is split again: a list of pieces is wanted": ["b", "a", "n", "a", "n", "a"],
            "the last piece is lost": ["b", "an", "an"],
        },
    )
    ask(list("aaa"), ("a", "a")).equals(["aa", "a"], "from left to right, and a piece is used once")
    ask(["ab", "a", "b"], ("a", "b")).equals(["ab", "ab"], "pieces are compared whole, not letter by letter")
    ask(["b", "b", "a"], ("a", "b")).equals(["b", "b", "a"], "what is not the pair stays apart, as it was")
    ask([], ("x", "y")).equals([], "no pieces")


def _pairs(spelled, counts):
    pairs: Counter = Counter()
    for word, pieces in spelled.items():
        for i in range(len(pieces) - 1):
            pairs[pieces[i], pieces[i + 1]] += counts[word]
    return pairs


def _best_pair(spelled, counts):
    pairs = _pairs(spelled, counts)
    most = max(pairs.values(), default=0)
    return list(max(pair for pair in pairs if pairs[pair] == most)) if pairs else None


def draw_counts(g):
    return {_text(g, "abc", 5) + "a": integer(g, 1, 6) for _ in range(integer(g, 1, 5))}


def draw_spelled(g):
    counts = draw_counts(g)
    return {word: list(word) for word in counts}, counts


@task("05.best_pair", LESSON + "'Word pieces'", _best_pair, draw_spelled, 40)
def best_pair(ask: Examiner):
    counts = {"low": 5, "lot": 1, "new": 3, "newt": 3}
    spelled = {word: list(word) for word in counts}
    ask(spelled, counts).equals(
        ["n", "e"],
        suspects={
            "how often the words occur is not counted": _best_pair(spelled, dict.fromkeys(counts, 1)),
            "of equally frequent pairs the largest is wanted, not the smallest or the first": ["l", "o"],
            "the merged piece; the pair is wanted": "".join(_best_pair(spelled, counts)),
            "the least frequent pair": ["o", "t"],
        },
    )
    repeated = {"aaaa": list("aaaa"), "bc": list("bc")}
    ask(repeated, {"aaaa": 1, "bc": 2}).equals(
        ["a", "a"], "every occurrence counts, also several in one word"
    )
    heavy = {"ab": ["a", "b"], "cd": ["c", "d"], "xcd": ["x", "c", "d"]}
    ask(heavy, {"ab": 9, "cd": 1, "xcd": 1}).equals(["a", "b"], "how often the words occur counts")
    ask({"ab": ["a", "b"], "ba": ["b", "a"]}, {"ab": 1, "ba": 1}).equals(
        ["b", "a"], "of equally frequent pairs the largest is wanted"
    )
    ask({"a": ["a"]}, {"a": 3}).equals(None, "no word has two pieces: None")


def _learn(counts, merges):
    spelled, learned = {word: ["▁", *word] for word in counts}, []
    while len(learned) < merges and (pair := _best_pair(spelled, counts)):
        learned.append(pair)
        spelled = {word: _merge(pieces, pair) for word, pieces in spelled.items()}
    return learned


@task("05.learn_bpe", LESSON + "'Word pieces'", _learn, lambda g: (draw_counts(g), integer(g, 0, 9)))
def learn_bpe(ask: Examiner):
    counts = {"the": 5, "to": 2, "hen": 1}
    bare = {word: list(word) for word in counts}
    ask(counts, 1).equals(
        _learn(counts, 1),
        suspects={
            "a word begins with ▁, which takes part in the pairs": [_best_pair(bare, counts)],
            "the merged piece; the pair is wanted": ["".join(_learn(counts, 1)[0])],
            "how often the words occur is not counted": _learn(dict.fromkeys(counts, 1), 1),
        },
    )
    ask(counts, 3).equals(
        _learn(counts, 3),
        suspects={
            "the same pair again and again: words must be spelled anew after each merge": _learn(counts, 1)
            * 3,
            "how often the words occur is not counted": _learn(dict.fromkeys(counts, 1), 3),
        },
    )
    ask({"ab": 1}, 9).equals(_learn({"ab": 1}, 9), "nothing is left to merge: stop early")
    ask({"aaaa": 2, "aa": 1}, 4).equals(
        _learn({"aaaa": 2, "aa": 1}, 4), "merges go from left to right, and a piece is used once"
    )
    ask(counts, 0).equals([], "no merges")


def _frames(numbers):
    return len(numbers) + sum(len(list(run)) - 1 for _, run in itertools.groupby(numbers))


@task(
    "05.frames_needed",
    LESSON + "'Labels against frames'",
    _frames,
    lambda g: ([integer(g, 1, 3) for _ in range(integer(g, 0, 9))],),
)
def frames_needed(ask: Examiner):
    ask([1, 2, 2, 3]).equals(
        5,
        suspects={
            "a blank is needed between two equal neighbours": 4,
            "a blank between all neighbours: different ones need none": 7,
            "blanks at the ends, too: they may be left out": 9,
        },
    )
    ask([1, 2, 1]).equals(3, "only equal *neighbours* need a blank between")
    ask([2, 2, 2]).equals(5, "three in a row have two neighbourhoods")
    ask([]).equals(0, "nothing to write needs no frame")


def _split(text, log_p):
    """All ways, shortest beginnings first: the witness."""
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
    pieces = {"a", "b"} | {_text(g, "ab", 3) + "ab"[integer(g, 0, 1)] for _ in range(6)}
    if integer(g, 0, 4) == 0:
        pieces.discard("b")
    return _text(g, "ab", 9), {piece: -number(g, 0.1, 6) for piece in sorted(pieces)}


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
