// CTC: the sums over all paths of a target, after Graves et al. 2006. Symbols are those of asrlib.losses.ctc.
import { BLANK, impossible, logSumExp } from "./logs.mjs";

/** Return l': the target with blanks around every label. */
export function withBlanks(target) {
  return [BLANK, ...target.flatMap((label) => [label, BLANK])];
}

/** Return the states from which a path may come to state s within one frame: s, s − 1 and maybe s − 2. */
export function statesBefore(states, s) {
  const before = [s];
  if (s >= 1) before.push(s - 1);
  if (s >= 2 && states[s] !== BLANK && states[s] !== states[s - 2]) before.push(s - 2);
  return before;
}

/** Return ln α(t, s), eq. 5 to 7, of natural log probabilities (T, V). */
export function ctcAlphas(logY, target) {
  const states = withBlanks(target);
  const alpha = impossible(logY.length, states.length);
  logY.forEach((y, t) => states.forEach((label, s) => {
    const ways = t === 0 ? [s < 2 ? 0 : -Infinity] : statesBefore(states, s).map((from) => alpha[t - 1][from]);
    alpha[t][s] = logSumExp(ways) + y[label];
  }));
  return alpha;
}

/** Return ln β(t, s), eq. 9 to 11: α of the reversed utterance and target. Like α it includes frame t. */
export function ctcBetas(logY, target) {
  const reversed = ctcAlphas(logY.slice().reverse(), target.slice().reverse());
  return reversed.reverse().map((row) => row.reverse());
}

/**
 * Return {states, alpha, beta, gamma, gradient, logP} of logits (T, V).
 * alpha and beta are natural logarithms, gamma (T, S) probabilities. gradient (T, V) is that of −ln p(l | x)
 * with respect to the logits: y − γ summed over the states that show the label (eq. 16).
 * Without a path logP is −Infinity, and gamma and gradient are 0.
 */
export function ctcSums(logY, target) {
  const states = withBlanks(target), last = states.length - 1;
  const alpha = ctcAlphas(logY, target), beta = ctcBetas(logY, target);
  const ends = alpha[logY.length - 1];
  const logP = last > 0 ? logSumExp([ends[last], ends[last - 1]]) : ends[last];
  const gamma = logY.map((y, t) => states.map((label, s) => {
    const paths = alpha[t][s] + beta[t][s] - y[label];
    return logP === -Infinity || Number.isNaN(paths) ? 0 : Math.exp(paths - logP);
  }));
  const gradient = logY.map((y, t) => {
    const row = logP === -Infinity ? y.map(() => 0) : y.map((value) => Math.exp(value));
    states.forEach((label, s) => { row[label] -= gamma[t][s]; });
    return row;
  });
  return { states, alpha, beta, gamma, gradient, logP };
}

/** Return the most probable path's states, one for each frame; empty if there is no path. */
export function ctcBestPath(logY, target) {
  const states = withBlanks(target), last = states.length - 1;
  const best = impossible(logY.length, states.length);
  logY.forEach((y, t) => states.forEach((label, s) => {
    const ways = t === 0 ? [s < 2 ? 0 : -Infinity] : statesBefore(states, s).map((from) => best[t - 1][from]);
    best[t][s] = Math.max(...ways) + y[label];
  }));
  const ends = best[logY.length - 1];
  let s = last > 0 && ends[last - 1] > ends[last] ? last - 1 : last;
  if (ends[s] === -Infinity) return [];
  const path = [s];
  for (let t = logY.length - 1; t > 0; t--) {
    s = statesBefore(states, s).reduce((a, b) => (best[t - 1][b] > best[t - 1][a] ? b : a));
    path.unshift(s);
  }
  return path;
}

/** Return the two steps of the collapse rule: {merged, labels}. */
export function collapse(path) {
  const merged = path.filter((label, t) => t === 0 || label !== path[t - 1]);
  return { merged, labels: merged.filter((label) => label !== BLANK) };
}

/** Return the states of l' that a path of labels goes through, or null if it is no path of the target. */
export function statesOf(path, target) {
  const states = withBlanks(target);
  if (collapse(path).labels.join() !== target.join()) return null;
  let s = 0;
  return path.map((label, t) => {
    if (t === 0) s = label === BLANK ? 0 : 1;
    else s = [s, s + 1, s + 2].find((to) => states[to] === label && statesBefore(states, to).includes(s));
    return s;
  });
}

/** Return the probabilities after label k of one frame was set to p; the others keep their proportions. */
export function withProbability(y, k, p) {
  const value = Math.min(0.999, Math.max(0.001, p));
  const others = y.reduce((sum, probability, j) => (j === k ? sum : sum + probability), 0);
  const share = (probability) => (others > 0 ? probability / others : 1 / (y.length - 1));
  return y.map((probability, j) => (j === k ? value : (1 - value) * share(probability)));
}
