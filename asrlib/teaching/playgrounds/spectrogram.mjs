// The spectrogram playground: window, hop, mels and pre-emphasis of a sound, which may be dropped in or recorded.
import { button, html, onKeys, row, set, slider } from "./elements.mjs";
import { lengths, logMel, hzToMel, melToHz } from "./log_mel.mjs";
import { floatsAsText, floatsFrom } from "./logs.mjs";
import { play, soundSource } from "./sound.mjs";
import { dress, viridis } from "./theme.mjs";
import { widget } from "./widget.mjs";

// viridis as pixels, whose bytes are red, green, blue, opacity
const COLORS = new Uint32Array(Uint8Array.from(Array.from({ length: 256 }, (_, i) => [...viridis(i / 255), 255]).flat()).buffer);
const LONGEST = 10; // seconds that are shown of a sound
const SETTINGS = [
  ["window", "window_ms", { min: 5, max: 100, step: 1, shown: (x) => `${x} ms` }],
  ["hop", "hop_ms", { min: 2, max: 40, step: 1, shown: (x) => `${x} ms` }],
  ["mels", "mels", { min: 4, max: 128, step: 1 }],
  ["pre-emphasis", "preemphasis", { min: 0, max: 1, step: 0.01, shown: (x) => x.toFixed(2) }],
];

/**
 * Fill an element with the playground. options: {value, sound}, as asrlib.teaching.playgrounds.spectrogram_options
 * gives: value {window_ms, hop_ms, mels, preemphasis, frame, bin}, sound {rate, samples}, the samples as 32-bit floats
 * in base64. onChange gets the new value, onSound a new sound. Returns {value, sound, features, set, destroy}.
 */
export function mount(element, options, { onChange = () => {}, onSound = () => {} } = {}) {
  const first = structuredClone(options.value);
  let value = structuredClone(first), sound = options.sound, samples = floatsFrom(sound.samples), features = [];
  let silence = () => {};

  const root = html("div");
  element.append(root);
  const undress = dress(root);
  const sliders = Object.fromEntries(SETTINGS.map(([name, key, range]) => (
    [key, slider(name, { ...range, value: value[key] }, (number) => turn(key, number))]
  )));
  const [message, size, pointed] = ["status", "status", "status"].map((role) => html("div", { class: "readout", role }));
  size.dataset.name = "size";
  pointed.dataset.name = "pointed";
  message.dataset.name = "message";
  const canvas = html("canvas", { tabindex: 0, role: "img", class: "handle", style: "height: 260px; touch-action: none" });
  const brush = canvas.getContext("2d");
  const across = html("div", { style: "position: absolute; left: 0; right: 0; border-top: 1px solid #fff; mix-blend-mode: difference; pointer-events: none" });
  const down = html("div", { style: "position: absolute; top: 0; bottom: 0; border-left: 1px solid #fff; mix-blend-mode: difference; pointer-events: none" });
  const plot = html("div", { style: "position: relative; flex: 1" }, canvas, across, down);
  const ticks = html("div", { style: "position: relative; width: 64px; height: 260px" });
  const times = html("div", { style: "position: relative; height: 20px; margin-left: 64px" });
  const source = soundSource(sound.rate, LONGEST, take, (text) => { message.textContent = text; });
  source.dropOn(root);
  root.append(
    row(...Object.values(sliders)),
    row(button("play", () => { silence(); silence = play(samples, sound.rate); }),
      button("as at first", () => { assign(first); take(floatsFrom(options.sound.samples)); publish(); }), source),
    message, html("div", { style: "display: flex" }, ticks, plot), times, size, pointed,
  );
  follow();

  function edit(changes) {
    value = { ...value, ...changes };
    show(Object.keys(changes).some((key) => key in sliders));
    publish();
  }

  /** Set one of the settings; a hop longer than the window would leave samples out, so it takes the other along. */
  function turn(key, number) {
    const changes = { [key]: number };
    if (key === "hop_ms" && number > value.window_ms) changes.window_ms = number;
    if (key === "window_ms" && number < value.hop_ms) changes.hop_ms = number;
    for (const [name, other] of Object.entries(changes)) sliders[name].show(other);
    message.textContent = Object.keys(changes).length > 1 ? "Window and hop go together: a longer hop would leave samples out." : "";
    edit(changes);
  }

  function publish() { onChange(structuredClone(value)); }

  function assign(content) {
    value = { ...value, ...structuredClone(content) };
    for (const [key, control] of Object.entries(sliders)) control.show(value[key]);
    show(true);
  }

  function take(floats) {
    samples = Float32Array.from(floats);
    sound = { rate: options.sound.rate, samples: floatsAsText(samples) };
    show(true);
    onSound(sound);
  }

  function show(again) {
    const { window, hop } = lengths(sound.rate, value.window_ms, value.hop_ms);
    if (again) {
      features = logMel(samples, sound.rate, value);
      paint(window, hop);
    }
    // the cursor stays within the picture
    const T = features.length, frame = Math.min(value.frame, T - 1), bin = Math.min(value.bin, value.mels - 1);
    value = { ...value, frame, bin };
    const start = (frame * hop) / sound.rate, top = hzToMel(sound.rate / 2) / (value.mels + 1);
    across.style.bottom = `${(100 * (bin + 0.5)) / value.mels}%`;
    down.style.left = `${(100 * (frame + 0.5)) / T}%`;
    const what = `frame ${frame} (${start.toFixed(3)} to ${(start + window / sound.rate).toFixed(3)} s), mel bin ${bin}`
      + ` (around ${Math.round(melToHz(top * (bin + 1)))} Hz): ${features[frame][bin].toFixed(4)}`;
    pointed.textContent = what;
    set(canvas, { "aria-label": `log-mel picture, arrow keys move the cursor: ${what}` });
  }

  function paint(window, hop) {
    const T = features.length, M = value.mels;
    let low = Infinity, high = -Infinity;
    for (const row of features) for (const x of row) { low = Math.min(low, x); high = Math.max(high, x); }
    canvas.width = T;
    canvas.height = M;
    const picture = brush.createImageData(T, M), pixels = new Uint32Array(picture.data.buffer), scale = 255 / (high - low || 1);
    features.forEach((row, t) => {
      for (let m = 0; m < M; m++) pixels[(M - 1 - m) * T + t] = COLORS[Math.round(scale * (row[m] - low))];
    });
    brush.putImageData(picture, 0, 0);
    size.textContent = `${T} frames × ${M} mels = ${T * M} numbers from ${samples.length} samples; `
      + `ln from ${low.toFixed(2)} (dark) to ${high.toFixed(2)} (bright); ${window} samples a window, hop ${hop}`;
    const top = hzToMel(sound.rate / 2);
    ticks.replaceChildren(...[250, 500, 1000, 2000, 4000, 8000].filter((hz) => hz < sound.rate / 2).map((hz) => (
      html("span", { class: "note", style: `position: absolute; right: 6px; bottom: calc(${(100 * hzToMel(hz)) / top}% - 0.7em)` }, `${hz} Hz`)
    )));
    const seconds = (T * hop) / sound.rate, step = seconds > 4 ? 1 : 0.25;
    times.replaceChildren(...Array.from({ length: Math.floor((0.97 * seconds) / step) + 1 }, (_, n) => (
      html("span", { class: "note", style: `position: absolute; white-space: nowrap; left: ${(100 * n * step) / seconds}%` }, `${n * step} s`)
    )));
  }

  /** Let pointer and arrow keys move the cursor. */
  function follow() {
    const at = (event) => {
      const area = canvas.getBoundingClientRect();
      const part = (x, from, length, count) => Math.min(count - 1, Math.max(0, Math.floor(((x - from) / length) * count)));
      edit({
        frame: part(event.clientX, area.left, area.width, features.length),
        bin: value.mels - 1 - part(event.clientY, area.top, area.height, value.mels),
      });
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
      at(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons === 1) at(event); });
    const by = (frames, bins) => () => edit({ frame: Math.max(0, value.frame + frames), bin: Math.max(0, value.bin + bins) });
    onKeys(canvas, {
      ArrowLeft: by(-1, 0), ArrowRight: by(1, 0), ArrowUp: by(0, 1), ArrowDown: by(0, -1), PageUp: by(0, 8), PageDown: by(0, -8),
      Home: by(-Infinity, 0), End: by(Infinity, 0),
    });
  }

  show(true);
  return {
    get value() { return structuredClone(value); },
    get sound() { return structuredClone(sound); },
    get features() { return features; },
    set({ value: content, sound: other }) {
      if (other) { sound = other; samples = floatsFrom(other.samples); }
      assign(content ?? {});
    },
    destroy() { silence(); source.end(); undress(); root.remove(); },
  };
}

export default widget(mount);
