"""Checkers of assignment 08, CTC against RNN-T: cost and delay of decoding."""

from __future__ import annotations

import torch

from asrlib.decoding import greedy
from asrlib.teaching.check import Examiner, task
from asrlib.teaching.exercise_data.draws import integer, log_probs, number

LESSON = "lesson 08, "
COSTS = "lesson 08, 'What decoding costs'"


def _questions(frames, T, window=1):
    """Gap by gap, in closed form."""
    asked, t = 0, 0
    for frame in frames:
        asked, t = asked + (frame - t) // window + 1, frame
    return asked + -(-(T - t) // window)


def draw_questions(g):
    T = integer(g, 1, 30)
    frames = sorted(integer(g, 0, T - 1) for _ in range(integer(g, 0, 5)))
    return frames, T, integer(g, 1, 9)


@task("08.questions", COSTS, _questions, draw_questions, 60)
def questions(ask: Examiner):
    ask([8], 16, 8).equals(
        3,
        "a window of 8 from frame 0 ends with frame 7: the label at frame 8 is in the next one",
        {"one frame a question: `window` is not used": 17},
    )
    ask([3, 9, 9], 20, 1).equals(
        23,
        suspects={
            "one question a frame; each label needs one more, at the same frame": 20,
            "the number of labels": 3,
            "after a label the search asks again about the label's frame: another one may follow there": 21,
            "two labels at one frame are two questions: the second waits for the first": 22,
        },
    )
    ask([3, 9, 9], 20, 8).equals(
        5,
        suspects={
            "one frame a question: `window` is not used": 23,
            "the labels' questions are saved, too; each needs one of its own": 3,
            "after a label the next window begins at the label's frame, not where the last one ended": 6,
        },
    )
    ask([], 16, 8).equals(2, "16 frames are two windows of 8, the last of which is just full")
    ask([7], 16, 8).equals(3, "a window of 8 from frame 0 reaches frame 7, where the next one begins")
    ask([], 5, 8).equals(1, "a window may reach beyond the last frame")
    ask([2], 6).equals(7, "`window` is 1 unless it is given")


def _fast_greedy(y, lengths):
    return [path.labels for path in greedy.greedy_ctc(y, lengths)]


def draw_batch(g):
    B, T = integer(g, 1, 4), integer(g, 1, 8)
    return log_probs(g, B, T, 3), torch.tensor([integer(g, 0, T) for _ in range(B)])


def _one_hot(*rows):
    return torch.nn.functional.one_hot(torch.tensor(rows), 4).double() - 1


@task("08.fast_greedy", COSTS, _fast_greedy, draw_batch, 40)
def fast_greedy(ask: Examiner):
    y = _one_hot([1, 1, 0, 1, 2, 2], [3, 0, 0, 2, 2, 3])
    ask(y, torch.tensor([6, 6])).equals(
        [[1, 1, 2], [3, 2, 3]],
        suspects={
            "blanks are dropped, but nothing is merged": [[1, 1, 1, 2, 2], [3, 2, 2, 3]],
            "a blank keeps two equal labels apart: merge first, drop the blanks then": [[1, 2], [3, 2, 3]],
            "neighbours are merged, but blanks are no labels": [[1, 0, 1, 2], [3, 0, 2, 3]],
            "the first frame has none before it: its label is lost": [[1, 2], [2, 3]],
            "all utterances in one list; a list for each is wanted": [1, 1, 2, 3, 2, 3],
        },
    )
    ask(y, torch.tensor([3, 4])).equals(
        [[1], [3, 2]],
        suspects={
            "the padding is read, too: `lengths` is not used": [[1, 1, 2], [3, 2, 3]],
            "one frame too many is read": [[1, 1], [3, 2]],
            "the last frame of each utterance is not read": [[1], [3]],
        },
    )
    ask(y, torch.tensor([0, 6])).equals([[], [3, 2, 3]], "an utterance without frames has no labels")
    ask(_one_hot([2, 2], [2, 1]), torch.tensor([2, 2])).equals(
        [[2], [2, 1]], "each utterance begins anew: the row above is not what came before"
    )
    g = torch.Generator().manual_seed(8)
    y, lengths = log_probs(g, 10, 300, 12), torch.randint(200, 301, (10,), generator=g)
    got = ask.count(y, lengths)
    got.equals(_fast_greedy(y, lengths))
    advice = "one argmax and one comparison for all frames, then .tolist() for an utterance's labels"
    got.does_at_most("10 utterances of 300 frames", advice, 400, 400)


def _delay(frames, ends, frame_ms=80, window_ms=25):
    each = [
        t * frame_ms + window_ms - 1000 * end
        for row, times in zip(frames, ends, strict=True)
        for t, end in zip(row, times, strict=True)
    ]
    return _median(each), sum(d < 0 for d in each) / len(each)


def _median(numbers):
    half = len(numbers) // 2
    ordered = sorted(numbers)
    return ordered[half] if len(numbers) % 2 else (ordered[half - 1] + ordered[half]) / 2


def draw_emissions(g):
    frames, ends = [], []
    for _ in range(integer(g, 1, 4)):
        U = integer(g, 1, 5)
        frames.append(sorted(integer(g, 0, 30) for _ in range(U)))
        # at half a millisecond, so that no delay is 0 but for rounding
        ends.append([round(max(0.01, 0.08 * t + number(g, -0.3, 0.3)), 3) + 5e-4 for t in frames[-1]])
    return frames, ends


@task("08.delay", LESSON + "'When does the label come out?'", lambda *a: list(_delay(*a)), draw_emissions, 40)
def delay(ask: Examiner):
    frames, ends = [[4, 9], [3, 12, 20]], [[0.3, 0.7], [0.3, 0.9, 1.5]]
    each = [45, 45, -35, 85, 125]
    ask(frames, ends).items(2, "two numbers must be returned: the median in ms and the share before the end")
    ask(frames, ends).equals(
        [45, 0.2],
        suspects={
            "seconds; milliseconds are wanted": [0.045, 0.2],
            "the mean; the median is wanted": [sum(each) / 5, 0.2],
            "a frame can be computed when its newest window has been heard: 25 ms are missing": [20, 0.2],
            "the sign: late labels have a positive delay": [-45, 0.8],
            "per cent; a share between 0 and 1 is wanted": [45, 20],
            "the words' ends are in seconds, the frames' times in milliseconds": [744.3, 0],
            "the number of early words; their share of all words is wanted": [45, 1],
            "the share of those after the end; before it is asked": [45, 0.8],
            "the median of each utterance's median; all words are pooled": [65, 0.2],
            "medians of single utterances; all words are pooled": [65, 0],
        },
    )
    ask([[5, 6], [10]], [[0.345, 0.495], [0.625]]).equals(
        [80, 0], "all words are pooled: three delays, of which the middle one is asked for"
    )
    ask([[5, 10]], [[0.425, 0.725]]).equals(
        [50, 0],
        suspects={
            "of an even number of words, the mean of the middle two (torch's median takes the lower)": [0, 0],
            "of an even number of words, the mean of the middle two, not the upper": [100, 0],
            "a label exactly at the end is not before it": [50, 0.5],
        },
    )
    ask([[5]], [[0.4255]]).equals([-0.5, 1], "half a millisecond before the end is before the end")
    ask([[10, 20]], [[0.5, 1.0]], frame_ms=40, window_ms=32).equals(
        list(_delay([[10, 20]], [[0.5, 1.0]], 40, 32)), "`frame_ms` and `window_ms` are arguments"
    )
