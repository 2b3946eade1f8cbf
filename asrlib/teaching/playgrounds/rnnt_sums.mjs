// The transducer: the sums over all paths of a target, after Graves 2012. Symbols are those of asrlib.losses.rnnt.
import { BLANK, impossible, logSoftmax, logSumExp } from "./logs.mjs";

/** Return natural log probabilities of logits (V,) after a penalty in nats was taken off blank's. */
export function penalized(logits, penalty) {
  return logSoftmax(Array.from(logits, (score, k) => (k === BLANK ? score - penalty : score)));
}

/** Return {blank (T, U+1), label (T, U)}: ∅(t, u) and y(t, u) of log probabilities (T, U+1, V). */
export function rnntScores(logProbs, target) {
  return {
    blank: logProbs.map((row) => row.map((node) => node[BLANK])),
    label: logProbs.map((row) => target.map((k, u) => row[u][k])),
  };
}

/** Return ln α(t, u), eq. 16. */
export function rnntAlphas({ blank, label }) {
  const T = blank.length, U = label[0].length, alpha = impossible(T, U + 1);
  for (let t = 0; t < T; t++) {
    for (let u = 0; u <= U; u++) {
      const ways = t + u === 0 ? [0] : [];
      if (t > 0) ways.push(alpha[t - 1][u] + blank[t - 1][u]);
      if (u > 0) ways.push(alpha[t][u - 1] + label[t][u - 1]);
      alpha[t][u] = logSumExp(ways);
    }
  }
  return alpha;
}

/** Return ln β(t, u), eq. 18; ln Pr(y | x) is β(0, 0). */
export function rnntBetas({ blank, label }) {
  const T = blank.length, U = label[0].length, beta = impossible(T, U + 1);
  for (let t = T - 1; t >= 0; t--) {
    for (let u = U; u >= 0; u--) {
      const ways = t === T - 1 && u === U ? [blank[t][u]] : [];
      if (t < T - 1) ways.push(beta[t + 1][u] + blank[t][u]);
      if (u < U) ways.push(beta[t][u + 1] + label[t][u]);
      beta[t][u] = logSumExp(ways);
    }
  }
  return beta;
}

/** Return {alpha, beta, gamma, logP}: γ(t, u) = α β / Pr(y | x) is the probability that a path passes (t, u). */
export function rnntSums(scores) {
  const alpha = rnntAlphas(scores), beta = rnntBetas(scores), logP = beta[0][0];
  const gamma = alpha.map((row, t) => row.map((a, u) => Math.exp(a + beta[t][u] - logP)));
  return { alpha, beta, gamma, logP };
}

/** Return the natural log probability of the path that emits label u at frames[u]; frames must not decrease. */
export function pathScore({ blank, label }, frames) {
  let score = 0, u = 0;
  for (let t = 0; t < blank.length; t++) {
    for (; u < frames.length && frames[u] === t; u++) score += label[t][u];
    score += blank[t][u];
  }
  return score;
}

/** Return the frames at which the most probable path emits the labels. */
export function bestFrames({ blank, label }) {
  const T = blank.length, U = label[0].length, best = impossible(T, U + 1);
  const fromLabel = best.map((row) => row.map(() => false));
  for (let t = 0; t < T; t++) {
    for (let u = 0; u <= U; u++) {
      const waited = t > 0 ? best[t - 1][u] + blank[t - 1][u] : -Infinity;
      const wrote = u > 0 ? best[t][u - 1] + label[t][u - 1] : -Infinity;
      fromLabel[t][u] = wrote > waited;
      best[t][u] = t + u === 0 ? 0 : Math.max(waited, wrote);
    }
  }
  const frames = [];
  for (let t = T - 1, u = U; u > 0;) {
    if (fromLabel[t][u]) { frames.unshift(t); u -= 1; } else t -= 1;
  }
  return frames;
}

/** Return the frames after label u was moved to frame t: it takes those that it passes along. */
export function moved(frames, u, t, T) {
  const to = Math.min(T - 1, Math.max(0, t));
  return frames.map((frame, n) => (n < u ? Math.min(frame, to) : n > u ? Math.max(frame, to) : to));
}
