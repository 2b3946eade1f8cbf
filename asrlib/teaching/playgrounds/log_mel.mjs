// Log-mel features, after asrlib.signal.features: frames, Hann window, power spectrum, HTK mel filters, ln.

const LOG_FLOOR = 1e-6;

/** Return {window, hop, size} in samples: the FFT's size is the next power of two. */
export function lengths(rate, windowMs, hopMs) {
  const window = halfToEven((rate * windowMs) / 1000), hop = halfToEven((rate * hopMs) / 1000);
  return { window, hop, size: 2 ** Math.ceil(Math.log2(window)) };
}

/** Round as Python does. */
function halfToEven(x) {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** Return a function that gives the power spectrum (size / 2 + 1) of real samples, each time in the same array. */
export function powerSpectrum(size) {
  const bits = Math.log2(size), order = new Uint32Array(size);
  for (let i = 0; i < size; i++) order[i] = (order[i >> 1] >> 1) | ((i & 1) << Math.max(0, bits - 1));
  const cos = new Float64Array(size / 2 || 1), sin = new Float64Array(size / 2 || 1);
  for (let i = 0; i < size / 2; i++) {
    cos[i] = Math.cos((2 * Math.PI * i) / size);
    sin[i] = Math.sin((2 * Math.PI * i) / size);
  }
  const re = new Float64Array(size), im = new Float64Array(size);
  const power = new Float64Array(size / 2 + 1);
  return (samples) => {
    im.fill(0);
    for (let i = 0; i < size; i++) re[i] = order[i] < samples.length ? samples[order[i]] : 0;
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half, c = cos[k * stride], s = sin[k * stride];
          const x = re[b] * c + im[b] * s, y = im[b] * c - re[b] * s;
          re[b] = re[a] - x; im[b] = im[a] - y;
          re[a] += x; im[a] += y;
        }
      }
    }
    for (let k = 0; k <= size / 2; k++) power[k] = re[k] * re[k] + im[k] * im[k];
    return power;
  };
}

/** Return Hz on the HTK mel scale. */
export const hzToMel = (hz) => 2595 * Math.log10(1 + hz / 700);

/** Return mel in Hz. */
export const melToHz = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Return {from, weights} of each mel bin: a triangle over FFT bins from `from` on, rounded to 32 bits. */
export function melFilters(rate, size, mels) {
  const top = hzToMel(rate / 2), edges = Array.from({ length: mels + 2 }, (_, m) => melToHz((top * m) / (mels + 1)));
  return Array.from({ length: mels }, (_, m) => {
    const [left, center, right] = edges.slice(m, m + 3), weights = [];
    let from = 0;
    for (let bin = 0; bin <= size / 2; bin++) {
      const hz = (bin * rate) / size;
      const weight = Math.fround(Math.min((hz - left) / (center - left), (right - hz) / (right - center)));
      if (weight > 0) { if (!weights.length) from = bin; weights.push(weight); }
    }
    return { from, weights };
  });
}

/**
 * Return features (frames, mels) in natural log, one Float64Array per frame, of samples in [−1, 1].
 * settings: {window_ms, hop_ms, mels, preemphasis}. A signal shorter than a window is one frame.
 */
export function logMel(samples, rate, settings) {
  const { window, hop, size } = lengths(rate, settings.window_ms, settings.hop_ms);
  const taper = Float64Array.from({ length: window }, (_, n) => Math.fround(0.5 - 0.5 * Math.cos((2 * Math.PI * n) / window)));
  // zeros fill up a signal that is shorter than a window
  const signal = new Float64Array(Math.max(samples.length, window)), piece = new Float64Array(window);
  for (let n = 0; n < samples.length; n++) signal[n] = samples[n] - (n > 0 ? settings.preemphasis * samples[n - 1] : 0);
  const filters = melFilters(rate, size, settings.mels), spectrum = powerSpectrum(size);
  const frames = 1 + Math.floor(Math.max(samples.length - window, 0) / hop);
  return Array.from({ length: frames }, (_, t) => {
    for (let n = 0; n < window; n++) piece[n] = taper[n] * signal[t * hop + n];
    const power = spectrum(piece), row = new Float64Array(filters.length);
    filters.forEach(({ from, weights }, m) => {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * power[from + i];
      row[m] = Math.log(sum + LOG_FLOOR);
    });
    return row;
  });
}
