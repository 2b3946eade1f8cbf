// The recognizer: an exported graph in ONNX Runtime Web. It takes samples at its own rate and gives hypotheses.
//
// A hypothesis is {text, tokens, score}: a token is {label, name, time, probability}, with the time in seconds;
// the score is the natural log of the probability of the whole alignment.
import * as ort from "./ort.wasm.min.mjs";
import { joined } from "./samples.mjs";
import { written } from "./text.mjs";

const ARRAYS = { float32: Float32Array, float64: Float64Array, int32: Int32Array };

/** Load model.json and the graphs beside it. Return {about, features(signal), utterance()}. */
export async function loadRecognizer() {
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href; // nothing from elsewhere
  ort.env.wasm.numThreads = 1; // more of them need headers that simple servers do not send
  const about = await (await fetched("model.json")).json();
  const model = await ort.InferenceSession.create(await (await fetched("model.onnx")).arrayBuffer());
  const front = await ort.InferenceSession.create(await (await fetched("features.onnx")).arrayBuffer());
  const run = (inputs) => model.run(inputs);
  return {
    about,
    /** Return the log-mel features of samples, {values, frames}, for the picture. */
    async features(signal) {
      const { features } = await front.run({ signal: tensor("float32", signal) });
      return { values: features.data, frames: features.dims[0] };
    },
    /** Begin an utterance: `feed(samples)` and `finish()` give hypotheses; feed gives null if it has to wait. */
    utterance: () => (about.stream ? new StreamedUtterance(about, run) : new WholeUtterance(about, run)),
  };
}

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url), { cache: "no-cache" }); // asked whether it is still the same
  if (!answer.ok) throw new Error(`${name} is missing (${answer.status}): export the page again`);
  return answer;
}

function tensor(type, values, dims = [values.length]) {
  return new ort.Tensor(type, values, dims);
}

/** A model that needs the whole utterance. */
class WholeUtterance {
  constructor(about, run) {
    Object.assign(this, { about, run, pieces: [] });
  }

  async feed(samples) {
    this.pieces.push(samples);
    return null;
  }

  async finish() {
    // one window is the shortest that the graph takes, unless it completes windows itself
    const { pad_end: padEnd, shortest, tail = 0 } = this.about; // the graph appends the tail
    const all = joined(...this.pieces), missing = padEnd ? 0 : shortest - tail - all.length;
    const signal = joined(all, new Float32Array(Math.max(0, missing)));
    const heard = new Heard(this.about);
    heard.add(await this.run({ signal: tensor("float32", signal) }));
    return heard.hypothesis();
  }
}

/** A model that streams: one encoder frame at a time, its states carried from step to step. */
class StreamedUtterance {
  constructor(about, run) {
    Object.assign(this, { about, run, heard: new Heard(about), seen: 0, buffer: new Float32Array(1), state: {} });
    for (const { name, type, dims } of about.states) {
      const size = dims.reduce((product, dim) => product * dim, 1);
      this.state[name] = tensor(type, new ARRAYS[type](size), dims);
    }
  }

  async feed(samples) {
    this.seen += samples.length;
    return this.advance(samples, Infinity);
  }

  async finish() {
    const { hop, shortest: window, chunk, overlap, tail = 0, pad_end: padEnd, preemphasis } = this.about;
    if (this.seen && tail) await this.feed(new Float32Array(tail)); // the silence that it waits for
    let frames = this.seen === 0 ? 0 : 1 + Math.floor(Math.max(this.seen - window, 0) / hop);
    let fading = 0;
    if (padEnd) { // windows reach past the end, where the signal is zero after pre-emphasis: before it, it fades
      frames = Math.ceil(this.seen / hop);
      fading = preemphasis;
    }
    const missing = Math.ceil((frames * hop) / chunk) - this.heard.frames, last = this.buffer.at(-1);
    const rest = Float32Array.from({ length: Math.max(0, missing * chunk + overlap) }, (_, n) => last * fading ** (n + 1));
    return this.advance(rest, missing);
  }

  /** Compute the frames that are complete, at most `most` of them. */
  async advance(samples, most) {
    const { chunk, overlap } = this.about, size = overlap + chunk;
    this.buffer = joined(this.buffer, samples);
    for (; this.buffer.length >= size && most > 0; most--) {
      const out = await this.run({ signal: tensor("float32", this.buffer.slice(0, size)), ...this.state });
      this.heard.add(out);
      for (const name of Object.keys(this.state)) this.state[name] = out[`${name}_after`];
      this.buffer = this.buffer.slice(chunk);
    }
    return this.heard.hypothesis();
  }
}

/** What the graph found so far: its outputs one after the other in time. */
class Heard {
  constructor(about) {
    Object.assign(this, { about, tokens: [], frames: 0, score: 0 });
  }

  /** Append outputs of the graph: tokens and log_probs, both (frames, symbols), and score. */
  add({ tokens, log_probs: logProbs, score }) {
    const [frames, symbols] = tokens.dims, { frame_seconds: step, shortest, sample_rate: rate, labels } = this.about;
    tokens.data.forEach((label, n) => {
      if (label === 0) return; // blank
      const time = (this.frames + Math.floor(n / symbols)) * step + shortest / rate / 2;
      this.tokens.push({ label, name: labels[label], time, probability: Math.exp(logProbs.data[n]) });
    });
    this.frames += frames;
    this.score += score.data[0];
  }

  hypothesis() {
    const text = written(this.tokens.map((token) => token.label), this.about.writing);
    return { text, tokens: [...this.tokens], score: this.score };
  }
}
