// From the microphone's sample rate to the model's, as asrlib.signal.resample does it: a sinc with a Hann window.
import { joined } from "./samples.mjs";

const ZERO_CROSSINGS = 6; // of the sinc on either side of an output sample
const ROLLOFF = 0.99; // the cutoff as a fraction of the lower rate's Nyquist frequency

const gcd = (a, b) => (b === 0 ? a : gcd(b, a % b));

/** Resample from `rate` Hz to `newRate` Hz chunk by chunk; the result is that of the whole signal at once. */
export class Resampler {
  constructor(rate, newRate) {
    const shared = gcd(rate, newRate);
    this.old = rate / shared;
    this.new = newRate / shared;
    // how many input samples on either side an output sample depends on
    this.reach = rate === newRate ? 0 : Math.ceil((ZERO_CROSSINGS * this.old) / (ROLLOFF * Math.min(this.old, this.new)));
    this.buffer = new Float32Array(0);
    this.dropped = 0; // input samples that no later output needs
    this.returned = 0; // output samples
    this.filters = new Map();
  }

  /** Take input samples; return the new output samples that do not depend on future input. */
  feed(samples) {
    if (this.reach === 0) return samples;
    this.buffer = joined(this.buffer, samples);
    const known = this.dropped + this.buffer.length - this.reach;
    return this.until(known > 0 ? Math.floor(((known - 1) * this.new) / this.old) + 1 : 0);
  }

  /** Return the remaining output samples, as if silence followed the input. */
  finish() {
    return this.until(Math.ceil(((this.dropped + this.buffer.length) * this.new) / this.old));
  }

  until(end) {
    const found = new Float32Array(Math.max(0, end - this.returned));
    for (let n = 0; n < found.length; n++) found[n] = this.sample(this.returned + n);
    this.returned += found.length;
    const first = Math.max(0, Math.floor((this.returned * this.old) / this.new) - this.reach);
    if (first > this.dropped) {
      this.buffer = this.buffer.slice(first - this.dropped);
      this.dropped = first;
    }
    return found;
  }

  sample(n) {
    const before = Math.floor((n * this.old) / this.new), filter = this.filter((n * this.old) % this.new);
    const start = before - this.reach - this.dropped;
    let sum = 0;
    for (let k = Math.max(0, -start); k < filter.length && start + k < this.buffer.length; k++) {
      sum += filter[k] * this.buffer[start + k];
    }
    return sum;
  }

  /** Return the filter for an output sample that lies `phase` / new input samples after one of the input. */
  filter(phase) {
    if (!this.filters.has(phase)) {
      const scale = (ROLLOFF * Math.min(this.old, this.new)) / this.old;
      const taps = Array.from({ length: 2 * this.reach + 2 }, (_, k) => {
        const time = (k - this.reach - phase / this.new) * scale;
        if (Math.abs(time) >= ZERO_CROSSINGS) return 0;
        const window = Math.cos((time * Math.PI) / ZERO_CROSSINGS / 2) ** 2, angle = time * Math.PI;
        return (angle === 0 ? 1 : Math.sin(angle) / angle) * window * scale;
      });
      this.filters.set(phase, Float64Array.from(taps));
    }
    return this.filters.get(phase);
  }
}
