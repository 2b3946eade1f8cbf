"""Checkers of assignment 05, tokens: characters and byte-pair encoding."""

from __future__ import annotations

from collections import Counter

from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer

LESSON = "lesson 05, "
LABELS = list("abc de")


def draw_text(g, letters="abcde ", longest=8):
    return "".join(letters[integer(g, 0, len(letters) - 1)] for _ in range(integer(g, 0, longest)))


@task(
    "05.encode",
    LESSON + "'Characters'",
    lambda text, labels: [labels.index(c) + 1 for c in text],
    lambda g: (draw_text(g), LABELS),
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
    return {draw_text(g, "abc", 5) + "a": integer(g, 1, 6) for _ in range(integer(g, 1, 5))}


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


def _neighbors(pieces):
    return Counter(zip(pieces, pieces[1:], strict=False))


def _changes(pieces, pair):
    before, after = _neighbors(pieces), _neighbors(_merge(pieces, pair))
    every = {*before, *after}
    return {two: after[two] - before[two] for two in every if after[two] != before[two]}


@task("05.changes", LESSON + "'Word pieces', and turn 4 at its end", _changes, draw_pieces, 60)
def changes(ask: Examiner):
    banana, pair = list("banana"), ("a", "n")
    expected = {
        ("a", "n"): -2,
        ("b", "a"): -1,
        ("n", "a"): -2,
        ("b", "an"): 1,
        ("an", "an"): 1,
        ("an", "a"): 1,
    }
    before, after = _neighbors(banana), _neighbors(_merge(banana, pair))
    overlapping = _neighbors(["b", "an", "n", "an", "n", "a"])
    overlapping.subtract(before)
    ask(banana, pair).equals(
        expected,
        suspects={
            "a piece is used once: the next one begins behind it": {
                t: n for t, n in overlapping.items() if n
            },
            "the sign is turned: what the merge adds is positive": {two: -n for two, n in expected.items()},
            "the pairs after the merge; how many *more* there are than before is wanted": dict(after),
            "the pairs before the merge; how many more there are after it is wanted": dict(before),
            "the merged pair itself is missing: it is gone everywhere": {
                two: n for two, n in expected.items() if two != pair
            },
            "only what is gone; the new pairs count, too": {t: n for t, n in expected.items() if n < 0},
            "only what is new; what is gone counts, too": {t: n for t, n in expected.items() if n > 0},
            "each pair's change is counted once, however often it happens": {
                two: 1 if n > 0 else -1 for two, n in expected.items()
            },
            "pairs are tuples; the merged text does not tell where it was cut": {
                "".join(two): n for two, n in expected.items()
            },
        },
    )
    far = [*"cab", *"dc"]
    ask(far, ("a", "b")).equals(
        _changes(far, ("a", "b")),
        "only the neighbors of the merged pair change; a pair whose count stays the same is left out",
    )
    ask(["a", "b"], ("a", "b")).equals({("a", "b"): -1}, "nothing stands before or behind: no pair is new")
    ask(list("aaa"), ("a", "a")).equals(
        {("a", "a"): -2, ("aa", "a"): 1},
        "a piece is used once: of the two pairs in 'a a a' one is merged, and the other is broken up",
    )
    ask(list("abc"), ("x", "y")).equals({}, "the pair does not occur: nothing changes")


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
