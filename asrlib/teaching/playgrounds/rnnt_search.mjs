// The transducer's searches, one step after the other. says(t, written) gives natural log probabilities (V,).
import { BLANK, argmax, logSumExp } from "./logs.mjs";

/**
 * Return greedy search's steps: {t, written, logProbs, label, score}. score is the path's ln P after the step.
 * At most `most` labels are written at one frame.
 */
export function greedySteps(says, frames, most) {
  const steps = [];
  let written = [], score = 0;
  for (let t = 0; t < frames; t++) {
    for (let symbol = 0; symbol <= most; symbol++) {
      const logProbs = says(t, written), label = symbol === most ? BLANK : argmax(logProbs);
      score += logProbs[label];
      steps.push({ t, written, logProbs, label, score });
      if (label === BLANK) break;
      written = [...written, label];
    }
  }
  return steps;
}

/**
 * Return what beam search keeps after each frame: [{written, score, frames}], best first, as asrlib's beam_rnnt.
 * Where two ways lead to the same text their probabilities are added; frames are those of the better way.
 */
export function beamSteps(says, frames, width, most) {
  const history = [];
  let beam = [{ written: [], score: 0, frames: [] }];
  for (let t = 0; t < frames; t++) {
    beam = afterFrame(says, t, beam, width, most);
    history.push(beam);
  }
  return history;
}

function afterFrame(says, t, beam, width, most) {
  let going = beam, waiting = [];
  for (let symbol = 0; symbol <= most && going.length; symbol++) {
    const longer = [];
    for (const one of going) {
      const logProbs = says(t, one.written);
      waiting = merged(waiting, { ...one, score: one.score + logProbs[BLANK] });
      if (symbol === most) continue;
      logProbs.forEach((logProb, k) => {
        if (k === BLANK) return;
        longer.push({ written: [...one.written, k], score: one.score + logProb, frames: [...one.frames, t], going: true });
      });
    }
    // at most half of the beam may stay at the frame, or a label that repeats itself would push out all that wait
    const best = sorted(longer).slice(0, Math.floor((width + 1) / 2));
    const kept = sorted([...waiting, ...best]).slice(0, width);
    going = kept.filter((one) => one.going).map(({ going: _, ...one }) => one);
    waiting = kept.filter((one) => !one.going);
  }
  return sorted(waiting);
}

function sorted(hypotheses) {
  return hypotheses.slice().sort((a, b) => b.score - a.score);
}

function merged(hypotheses, one) {
  const key = one.written.join();
  const same = hypotheses.find((other) => other.written.join() === key);
  if (!same) return [...hypotheses, { ...one, going: false }];
  const better = same.score >= one.score ? same : one;
  const both = { ...better, score: logSumExp([same.score, one.score]), going: false };
  return hypotheses.map((other) => (other === same ? both : other));
}
