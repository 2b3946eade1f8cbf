"""Plausible wrong answers to assignment 05; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("05.encode", "labels.index(character) + 1", "labels.index(character)", "0 is blank"),
    ("05.encode", "labels.index(character) + 1", "ord(character)", "codes"),
    ("05.encode", 'raise ValueError(f"unknown character {character!r}")', "continue", "passed over"),
    ("05.encode", 'raise ValueError(f"unknown character {character!r}")', "raise KeyError(character)", "must be a ValueError"),
    ("05.decode", "number - 1", "number", "numbers begin at 1|list index out of range"),
    ("05.decode", " if number != 0", "", "blanks, 0, are skipped"),
    ("05.decode", '"".join', '" ".join', "spaces between"),
    ("05.decode", '"".join(labels[number - 1] for number in numbers if number != 0)', "[labels[n - 1] for n in numbers if n]", "one text is wanted"),
    ("05.merge_pair", "i += 2", "i += 1", "second piece is still there"),
    ("05.merge_pair", "i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == tuple(pair)", "(pieces[i], pieces[i + 1]) == tuple(pair)", "no right neighbour"),
    ("05.merge_pair", None, "def merge_pair(pieces, pair):\n    return ''.join(pieces).replace(''.join(pair), '_').replace('_', ' ' + ''.join(pair) + ' ').split()", "stays apart"),
    ("05.merge_pair", None, '''
def merge_pair(pieces, pair):
    for i in range(len(pieces) - 1):
        if (pieces[i], pieces[i + 1]) == tuple(pair):
            return pieces[:i] + [pieces[i] + pieces[i + 1]] + pieces[i + 2 :]
    return pieces
''', "only the first occurrence"),
    ("05.best_pair", "+= counts[word]", "+= 1", "not counted|how often"),
    ("05.best_pair", "key=lambda pair: (pairs[pair], pair)", "key=pairs.get", "the largest is wanted"),
    ("05.best_pair", " if pairs else None", "", "None"),
    ("05.best_pair", "for pair in zip(pieces, pieces[1:])", "for pair in set(zip(pieces, pieces[1:]))", "several in one word"),
    ("05.learn_bpe", '["▁", *word]', "list(word)", "begins with ▁"),
    ("05.learn_bpe", "            spelled[word] = merged", "            pass", "spelled anew"),
    ("05.learn_bpe", "        if not pairs:\n            break\n", "", "stop early"),
    ("05.learn_bpe", "+= counts[word]", "+= 1", "not counted"),
    ("05.learn_bpe", "learned.append(best)", 'learned.append("".join(best))', "the pair is wanted"),
    ("05.frames_needed", " + sum(a == b for a, b in zip(numbers, numbers[1:]))", "", "between two equal neighbours"),
    ("05.frames_needed", "return len(numbers) + sum(a == b for a, b in zip(numbers, numbers[1:]))", "return 2 * len(numbers) + 1", "at the ends"),
    ("05.frames_needed", "sum(a == b for a, b in zip(numbers, numbers[1:]))", "len(numbers) - len(set(numbers))", "only equal \\*neighbours"),
    ("05.split", None, '''
def split(text, log_p):
    pieces = []
    while text:
        piece = max((p for p in log_p if text.startswith(p)), key=len, default=None)
        if piece is None:
            return None
        pieces.append(piece)
        text = text[len(piece) :]
    return pieces
''', "longest piece first"),
    ("05.split", "pieces[::-1]", "pieces", "reverse order"),
    ("05.split", "score > best[i]", "score < best[i]", "the larger one is better"),
    ("05.split", "    if best[-1] == -inf:\n        return None\n", "", "cannot be split|stopped"),
    ("05.split", None, '''
def split(text, log_p):
    def ways(rest):
        if not rest:
            return [(0.0, [])]
        return [(log_p[p] + s, [p, *w]) for p in log_p if rest.startswith(p) for s, w in ways(rest[len(p) :])]
    found = ways(text) if len(text) < 20 else []
    return max(found)[1] if found else None
''', "keep the best split of each beginning"),
]  # fmt: skip
