"""Plausible wrong answers to assignment 15; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("15.chunk_text", "first >= start and last <= end", "last > start and first < end", "cuts in two"),
    ("15.chunk_text", "first >= start and last <= end", "start <= first < end", "ends outside"),
    ("15.chunk_text", "first >= start and last <= end", "start < last <= end", "begins outside"),
    ("15.chunk_text", "first >= start and last <= end", "first > start and last < end", "exactly at an edge"),
    (
        "15.chunk_text",
        None,
        """
def chunk_text(words, start, end):
    return [word for word, first, last in words if first >= start and last <= end]
""",
        "a text is wanted",
    ),
    (
        "15.rotate",
        None,
        """
def rotate(x, base):
    T, d = x.shape
    pair = torch.arange(d // 2, dtype=torch.float64)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * base ** (-2 * pair / d)
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * cosine - b * sine, b * cosine + a * sine], dim=2).flatten(1)
""",
        "neighbors are rotated",
    ),
    (
        "15.rotate",
        "[a * cosine - b * sine, b * cosine + a * sine]",
        "[a * cosine + b * sine, b * cosine - a * sine]",
        "other direction",
    ),
    ("15.rotate", "torch.arange(T, dtype", "torch.arange(1, T + 1, dtype", "number 0"),
    ("15.rotate", "(-2 * pair / d)", "(-pair / d)", "turns too fast"),
    ("15.rotate", "(-2 * pair / d)", "(2 * pair / d)", "frequencies grow"),
    (
        "15.join",
        None,
        """
def join(pieces, starts, frames):
    sums = torch.zeros(frames, pieces[0].shape[1], dtype=pieces[0].dtype)
    counts = torch.zeros(frames, 1, dtype=pieces[0].dtype)
    for piece, start in zip(pieces, starts):
        sums[start : start + len(piece)] += piece
        counts[start : start + len(piece)] += 1
    return sums / counts
""",
        "logarithms are averaged",
    ),
    ("15.join", "(sums / counts).log()", "sums.log()", "not divided by the number"),
    ("15.join", "(sums / counts).log()", "(sums / len(pieces)).log()", "all windows"),
    ("15.join", "(sums / counts).log()", "sums / counts", "logarithms are wanted"),
    (
        "15.join",
        None,
        """
def join(pieces, starts, frames):
    out = torch.zeros(frames, pieces[0].shape[1], dtype=pieces[0].dtype)
    for piece, start in zip(pieces, starts):
        out[start : start + len(piece)] = piece
    return out
""",
        "overwrites",
    ),
    ("15.join", "(sums / counts).log()", "(sums / counts + 1e-6).log()", "is no error"),
    ("15.condition", "return x + predictions", "return predictions", "it is added to x"),
    ("15.condition", ".softmax(-1)", "", "not probabilities"),
    ("15.condition", ".softmax(-1)", ".log_softmax(-1)", "logarithms are fed back"),
    ("15.condition", ".softmax(-1)", ".softmax(0)", "runs over labels"),
    ("15.condition", "F.layer_norm(x, x.shape[-1:])", "x", "reads the norm"),
    (
        "15.condition",
        "return x + predictions",
        "return F.layer_norm(x, x.shape[-1:]) + predictions",
        "the head's alone",
    ),
    (
        "15.saved",
        None,
        """
def saved(short, long):
    seeds = sorted(short.keys() & long.keys())
    a, b = [short[seed] for seed in seeds], [long[seed] for seed in seeds]
    mean = statistics.mean(a) - statistics.mean(b)
    if len(seeds) == 1:
        return mean, math.inf
    return mean, math.sqrt((statistics.variance(a) + statistics.variance(b)) / len(seeds))
""",
        "scatter of the two contexts",
    ),
    ("15.saved", "short[seed] - long[seed]", "long[seed] - short[seed]", "longer minus shorter"),
    ("15.saved", " / math.sqrt(len(seeds))", "", "standard deviation"),
    ("15.saved", "math.sqrt(len(seeds))", "len(seeds)", "divided by n"),
    ("15.saved", "math.sqrt(len(seeds))", "math.sqrt(3)", "taken for granted"),
    ("15.saved", "statistics.stdev", "statistics.pstdev", "n - 1 is wanted"),
    (
        "15.saved",
        "[short[seed] - long[seed] for seed in seeds]",
        "[a - b for a, b in zip(short.values(), long.values())]",
        "paired by place",
    ),
    ("15.saved", "math.inf", "0.0", "one seed says nothing"),
    (
        "15.near",
        None,
        """
def near(q, k, v, window):
    return (q @ k.T / math.sqrt(q.shape[1])).softmax(-1) @ v
""",
        "every frame is attended to",
    ),
    (
        "15.near",
        None,
        """
def near(q, k, v, window):
    place = torch.arange(len(q))
    apart = place[:, None] - place
    scores = q @ k.T / math.sqrt(q.shape[1])
    return scores.masked_fill((apart > window) | (apart < 0), -math.inf).softmax(-1) @ v
""",
        "only frames before",
    ),
    (
        "15.near",
        None,
        """
def near(q, k, v, window):
    place = torch.arange(len(q))
    far = (place[:, None] - place).abs() > window
    return (q @ k.T / math.sqrt(q.shape[1])).softmax(-1).masked_fill(far, 0) @ v
""",
        "do not sum to 1",
    ),
    (
        "15.near",
        None,
        """
def near(q, k, v, window):
    place = torch.arange(len(q))
    far = (place[:, None] - place).abs() > window
    return (q @ k.T / math.sqrt(q.shape[1])).masked_fill(far, -math.inf).softmax(-1) @ v
""",
        "without a matrix of all pairs",
    ),
    ("15.near", ".masked_fill(~there, -math.inf)", "", "zeros there take a share"),
    ("15.near", " / math.sqrt(q.shape[1])", "", "root of the channels"),
    ("15.near", " / math.sqrt(q.shape[1])", " / q.shape[1]", "not by their root"),
]
