// Arrays of samples.

/** Return arrays of samples one after the other. */
export function joined(...pieces) {
  const all = new Float32Array(pieces.reduce((count, piece) => count + piece.length, 0));
  let at = 0;
  for (const piece of pieces) { all.set(piece, at); at += piece.length; }
  return all;
}

/** Return the largest absolute value of samples. */
export function peak(samples) {
  return samples.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0);
}
