// The prediction and the joint network of a trained transducer, asrlib.models, computed in the page.
import { floatsFrom } from "./logs.mjs";

function matrix({ shape, floats }) {
  return { rows: shape[0], columns: shape[1] ?? 1, numbers: floatsFrom(floats) };
}

/** Return matrix · vector + bias. */
function linear({ rows, columns, numbers }, vector, bias = null) {
  const out = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = bias ? bias[i] : 0;
    for (let j = 0; j < columns; j++) sum += numbers[i * columns + j] * vector[j];
    out[i] = sum;
  }
  return out;
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/**
 * Return joint(frame, written): the logits (V,) after a frame's projection and the labels written so far.
 * weights are those of transducer_options: {name: {shape, floats}}, of one LSTM layer with layer norm.
 */
export function network(weights) {
  const w = Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [name, matrix(tensor)]));
  const units = w.recurrent.columns, known = new Map();

  function step(label, { h, c }) {
    const width = w.embedding.columns;
    const x = w.embedding.numbers.subarray(label * width, (label + 1) * width);
    const input = linear(w.input, x, w.input_bias.numbers), again = linear(w.recurrent, h, w.recurrent_bias.numbers);
    const next = { h: new Float64Array(units), c: new Float64Array(units) };
    for (let i = 0; i < units; i++) {
      // PyTorch's order of gates: input, forget, cell, output
      const [write, keep, cell, show] = [0, 1, 2, 3].map((gate) => input[gate * units + i] + again[gate * units + i]);
      next.c[i] = sigmoid(keep) * c[i] + sigmoid(write) * Math.tanh(cell);
      next.h[i] = sigmoid(show) * Math.tanh(next.c[i]);
    }
    return next;
  }

  function normalized(h) {
    const mean = h.reduce((sum, x) => sum + x, 0) / units;
    const variance = h.reduce((sum, x) => sum + (x - mean) ** 2, 0) / units;
    return h.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-3)) * w.norm.numbers[i] + w.norm_bias.numbers[i]);
  }

  /** Return the LSTM's state and the projected output after blank, which starts the text, and the labels. */
  function after(written) {
    const key = written.join();
    if (!known.has(key)) {
      const zero = { h: new Float64Array(units), c: new Float64Array(units) };
      const before = written.length ? after(written.slice(0, -1)).state : zero;
      const state = step(written.length ? written[written.length - 1] : 0, before);
      known.set(key, { state, projected: linear(w.prediction, normalized(state.h)) });
    }
    return known.get(key);
  }

  return (frame, written) => {
    const { projected } = after(written);
    return linear(w.output, projected.map((x, i) => Math.tanh(x + frame[i])), w.output_bias.numbers);
  };
}
