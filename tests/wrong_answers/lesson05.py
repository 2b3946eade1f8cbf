"""Plausible wrong answers to assignment 05; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("05.encode", "labels.index(character) + 1", "labels.index(character)", "0 is blank"),
    ("05.encode", "labels.index(character) + 1", "ord(character)", "codes"),
    ("05.encode", 'raise ValueError(f"unknown character {character!r}")', "continue", "passed over"),
    ("05.encode", 'raise ValueError(f"unknown character {character!r}")', "raise KeyError(character)", "must be a ValueError"),
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
    ("05.changes", "change.subtract(zip(pieces, pieces[1:]))", "pass", "how many \\*more\\*"),
    ("05.changes", "change = Counter(zip(merged, merged[1:]))", "change = Counter()", "only what is gone"),
    ("05.changes", "{two: count for two, count in change.items() if count}", "{two: -count for two, count in change.items() if count}", "the sign is turned"),
    ("05.changes", "{two: count for two, count in change.items() if count}", "dict(change)", "stays the same is left out"),
    ("05.changes", "{two: count for two, count in change.items() if count}", "{two: count for two, count in change.items() if count and two != tuple(pair)}", "the merged pair itself"),
    ("05.changes", "i += 2 if together else 1", "i += 1", "begins behind it"),
    ("05.changes", "{two: count for two, count in change.items() if count}", '{"".join(two): count for two, count in change.items() if count}', "pairs are tuples"),
    ("05.changes", "change = Counter(zip(merged, merged[1:]))\n    change.subtract(zip(pieces, pieces[1:]))", "change = Counter(set(zip(merged, merged[1:])))\n    change.subtract(set(zip(pieces, pieces[1:])))", "counted once"),
    ("05.learn_bpe", '["▁", *word]', "list(word)", "begins with ▁"),
    ("05.learn_bpe", "            spelled[word] = merged", "            pass", "spelled anew"),
    ("05.learn_bpe", "        if not pairs:\n            break\n", "", "stop early"),
    ("05.learn_bpe", "+= counts[word]", "+= 1", "not counted"),
    ("05.learn_bpe", "learned.append(best)", 'learned.append("".join(best))', "the pair is wanted"),
    ("05.impossible", " + sum(a == b for a, b in zip(numbers, numbers[1:]))", "", "two equal neighbors"),
    ("05.impossible", "100 * lost / len(targets)", "lost / len(targets)", "per cent are wanted"),
    ("05.impossible", "100 * lost / len(targets)", "lost", "their number"),
    ("05.impossible", "needed > math.ceil", "needed <= math.ceil", "CTC can write|are 3 frames"),
    ("05.impossible", "math.ceil(windows / reduction)", "windows // reduction", "rounded up"),
    ("05.impossible", " / speed", "", "twice the speed"),
    ("05.impossible", "length / speed", "length * speed", "twice the speed"),
    ("05.impossible", "needed > math", "needed >= math", "suffice|are 3 frames"),
    ("05.impossible", "max(0, math.floor((1000 * length / speed - 25) / 10) + 1)", "math.floor((1000 * length / speed - 25) / 10) + 1", "hold no window"),
    ("05.impossible", "math.floor((1000 * length / speed - 25) / 10) + 1", "round(1000 * length / speed / 10)", "hold no window|whole|one window|four windows"),
    ("05.total", "most + math.log(sum(math.exp(way - most) for way in ways))", "most", "most probable split alone"),
    ("05.total", "return sums[-1]", "return math.exp(sums[-1])", "natural logarithm is wanted"),
    ("05.total", "most + math.log(sum(math.exp(way - most) for way in ways))", "math.log(sum(math.exp(way) for way in ways) or 1e-300)", "vanish to 0"),
    ("05.total", None, '''
def total(text, log_p):
    sums = [1.0] + [0.0] * len(text)
    for i in range(1, len(text) + 1):
        for j in range(i):
            if text[j:i] in log_p:
                sums[i] += sums[j] * math.exp(log_p[text[j:i]])
    return math.log(sums[-1]) if sums[-1] > 0 else -inf
''', "vanish to 0"),
    ("05.total", "sums = [0.0]", "sums = [1.0]", "begins with 0"),
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
