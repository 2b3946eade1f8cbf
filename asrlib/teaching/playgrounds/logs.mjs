// Probabilities as natural logarithms, and arrays of numbers that came as text.

/** The label of blank. */
export const BLANK = 0;

/** Return ln(Σ exp(values)); −Infinity for none. */
export function logSumExp(values) {
  const highest = Math.max(...values, -Infinity);
  if (highest === -Infinity) return -Infinity;
  return highest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - highest), 0));
}

/** Return the natural log probabilities of scores. */
export function logSoftmax(scores) {
  const total = logSumExp(Array.from(scores));
  return Array.from(scores, (score) => score - total);
}

/** Return rows × columns of −Infinity. */
export function impossible(rows, columns) {
  return Array.from({ length: rows }, () => new Array(columns).fill(-Infinity));
}

/** Return a log probability as text, with a true minus sign. */
export function minus(value) {
  return value.toFixed(4).replace("-", "−");
}

/** Return the index of the largest value, the first of several. */
export function argmax(values) {
  return values.reduce((best, value, k) => (value > values[best] ? k : best), 0);
}

/** Return the 32-bit floats (little endian) of a base64 text. */
export function floatsFrom(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Return 32-bit floats as base64 text. */
export function floatsAsText(floats) {
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}
