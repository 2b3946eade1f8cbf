// Sound files: read into mono samples at their own rate, and written.

/** Return {samples, rate} of an audio file's bytes: mono, in [−1, 1], `rate` in Hz. */
export async function readSound(bytes) {
  const rate = wavRate(bytes) ?? 48000; // a context at the file's rate leaves its samples as they are
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
  const samples = channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
  return { samples, rate };
}

/** Return the sample rate that the header of a WAV file names, in Hz; null for other files. */
function wavRate(bytes) {
  const view = new DataView(bytes), name = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (bytes.byteLength < 12 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  for (let at = 12; at + 16 <= bytes.byteLength; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2)) {
    if (name(at) === "fmt ") return view.getUint32(at + 12, true);
  }
  return null;
}

/** Return mono samples as a WAV file of 32-bit floats, which changes none of them. */
export function writeWav(samples, rate) {
  const header = new DataView(new ArrayBuffer(44)), bytes = 4 * samples.length;
  const name = (at, text) => [...text].forEach((c, n) => header.setUint8(at + n, c.charCodeAt(0)));
  name(0, "RIFF"); header.setUint32(4, 36 + bytes, true); name(8, "WAVEfmt "); header.setUint32(16, 16, true);
  header.setUint16(20, 3, true); header.setUint16(22, 1, true); header.setUint32(24, rate, true);
  header.setUint32(28, 4 * rate, true); header.setUint16(32, 4, true); header.setUint16(34, 32, true);
  name(36, "data"); header.setUint32(40, bytes, true);
  return new Blob([header, samples], { type: "audio/wav" });
}
