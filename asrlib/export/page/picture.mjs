// The picture: log-mel features as the model's own front end computes them, and where the labels are.
import { joined } from "./samples.mjs";

const SPAN = 4; // seconds that are shown while one speaks
const RANGE = 12; // natural log units from the brightest to the darkest
// seven of the colors of matplotlib's viridis, evenly spaced
const VIRIDIS = [[68, 1, 84], [68, 57, 131], [49, 104, 142], [33, 145, 140], [53, 183, 121], [144, 215, 67], [253, 231, 37]];
const PALETTE = palette();
const TOP = 22; // pixels above the spectrogram, for labels
const BOTTOM = 18; // pixels below it, for seconds

/** A spectrogram that grows while one speaks. `features` is that of the recognizer. */
export class Picture {
  constructor(canvas, about, features) {
    Object.assign(this, { canvas, about, features, asked: false });
    this.clear();
  }

  clear() {
    Object.assign(this, { buffer: new Float32Array(1), frames: [], tokens: [], whole: false });
    this.show();
  }

  /** Take samples at the model's rate, and the tokens that were found so far. */
  async add(samples, tokens) {
    const { hop, shortest: window } = this.about;
    this.buffer = joined(this.buffer, samples);
    if (tokens) this.tokens = tokens;
    if (this.buffer.length > window + 4 * hop) {
      const { values, frames } = await this.features(this.buffer), mels = values.length / frames;
      for (let t = 0; t < frames; t++) this.frames.push(values.subarray(t * mels, (t + 1) * mels));
      this.buffer = this.buffer.slice(frames * hop);
    }
    this.show();
  }

  /** Show all of it, with the final tokens. */
  end(tokens) {
    Object.assign(this, { tokens, whole: true });
    this.show();
  }

  /** Draw with the browser's next frame, however often it is asked for until then: sound comes first. */
  show() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const { canvas } = this, context = canvas.getContext("2d"), dense = window.devicePixelRatio;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    Object.assign(canvas, { width: width * dense, height: height * dense });
    context.scale(dense, dense);
    const color = (name) => getComputedStyle(canvas).getPropertyValue(name);
    const rate = this.about.sample_rate / this.about.hop, seconds = this.frames.length / rate;
    const last = Math.max(0, ...this.tokens.map((token) => token.time)); // may lie in the silence after the end
    const span = this.whole ? Math.max(SPAN, seconds, last + 0.5) : SPAN, start = Math.max(0, seconds - span);
    const x = (time) => ((time - start) / span) * width;
    const shown = this.frames.slice(Math.round(start * rate));
    if (shown.length > 0) {
      context.imageSmoothingEnabled = false;
      context.drawImage(heatMap(shown), 0, TOP, (shown.length / rate / span) * width, height - TOP - BOTTOM);
    }
    context.font = "13px system-ui, sans-serif";
    context.fillStyle = color("--muted");
    for (let second = Math.ceil(start); second <= start + span; second += span > 12 ? 5 : 1) {
      context.fillText(`${second} s`, x(second) + 3, height - 4);
      context.fillRect(x(second), height - BOTTOM, 1, 5);
    }
    for (const { label, name, time } of this.tokens) {
      if (time < start) continue;
      context.fillStyle = color(`--k${1 + ((label - 1) % 6)}`);
      context.fillRect(x(time) - 1, 0, 2, height - BOTTOM);
      context.fillText(name, x(time) + 4, 14);
    }
  }
}

/** Return frames of features as a picture, a pixel for each number, low mels at the bottom. */
function heatMap(frames) {
  const mels = frames[0].length, image = new ImageData(frames.length, mels);
  const pixels = new Uint32Array(image.data.buffer);
  let highest = -Infinity;
  for (const frame of frames) for (const value of frame) if (value > highest) highest = value;
  frames.forEach((frame, t) => {
    for (let mel = 0; mel < mels; mel++) {
      const place = Math.max(0, 1 - (highest - frame[mel]) / RANGE);
      pixels[(mels - 1 - mel) * frames.length + t] = PALETTE[Math.floor(place * (PALETTE.length - 1))];
    }
  });
  const canvas = new OffscreenCanvas(frames.length, mels);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Return 256 colors from the darkest to the brightest, as the pixels of an image have them: 0xAABBGGRR. */
function palette() {
  return Uint32Array.from({ length: 256 }, (_, n) => {
    const place = (n / 255) * (VIRIDIS.length - 1), i = Math.min(VIRIDIS.length - 2, Math.floor(place));
    const [r, g, b] = VIRIDIS[i].map((from, c) => Math.round(from + (place - i) * (VIRIDIS[i + 1][c] - from)));
    return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}
