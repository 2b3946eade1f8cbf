"""The step of a stream in the graph against the stream."""

import pytest
import streams
import torch
from exports import speech

from asrlib.export.stream_step import StreamStep


@pytest.mark.parametrize("head", ["ctc", "transducer"])
@pytest.mark.parametrize("normalize", ["none", "running"])
def test_the_step_of_the_graph_is_the_stream(head, normalize):
    eager = streams.recognizer(features={"normalize": normalize}, decoding={"head": head})
    step = StreamStep(eager.front_end, eager.model, eager.uses_ctc, eager.config.decoding.max_symbols)
    signal, state, found, rate = speech(2.0), step.start, [], 8000
    padded = torch.cat([torch.zeros(1), signal, torch.zeros(step.chunk)])
    expected = eager.transcribe(signal, rate)
    with torch.no_grad():
        for first in range(0, 25 * step.chunk, step.chunk):
            tokens, _, score, *state = step(padded[first : first + step.overlap + step.chunk], *state)
            found.append((tokens, score))
    tokens = torch.cat([tokens for tokens, _ in found])
    assert eager.tokenizer.decode(tokens[tokens > 0].tolist()) == expected.text
    assert len(expected.tokens) > 2
    assert float(sum(score for _, score in found)) == pytest.approx(expected.score, abs=1e-2)
