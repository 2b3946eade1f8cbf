// The transducer playground: drag a stair over γ; noise and blank penalty; sound and text up to the cursor; searches.
import { button, html, row, slider } from "./elements.mjs";
import { floatsFrom, minus } from "./logs.mjs";
import { network } from "./rnnt_network.mjs";
import { rnntPicture } from "./rnnt_picture.mjs";
import { greedySteps } from "./rnnt_search.mjs";
import { searchPanel } from "./rnnt_steps.mjs";
import { bestFrames, moved, pathScore, penalized, rnntScores, rnntSums } from "./rnnt_sums.mjs";
import { play } from "./sound.mjs";
import { dress } from "./theme.mjs";
import { widget } from "./widget.mjs";

/** Return what the playground computes of its options: says(t, written) and lattice() for a noise and a penalty. */
export function transducer({ levels, target, weights }) {
  const joint = network(weights), width = weights.output.shape[1], known = new Map();
  const frames = levels.map(({ frames: text }) => {
    const numbers = floatsFrom(text);
    return Array.from({ length: numbers.length / width }, (_, t) => numbers.subarray(t * width, (t + 1) * width));
  });
  const T = frames[0].length;
  return (level, penalty) => {
    const says = (t, written) => {
      const key = `${level} ${t} ${written.join()}`;
      if (!known.has(key)) known.set(key, joint(frames[level][t], written));
      return penalized(known.get(key), penalty);
    };
    const lattice = () => Array.from({ length: T }, (_, t) => (
      Array.from({ length: target.length + 1 }, (__, u) => says(t, target.slice(0, u)))
    ));
    return { T, says, lattice };
  };
}

/**
 * Fill an element with the playground. options are those of asrlib.teaching.playgrounds.transducer_options. onChange
 * gets the new value: {snr_db, blank_penalty, frames, cursor, search, beam_width, step, log_path, log_total, text}.
 * Returns {value, set({value}), destroy()}.
 */
export function mount(element, options, { onChange = () => {} } = {}) {
  const { labels, target, levels, words, rate, most } = options, at = transducer(options);
  const clock = (t) => options.first + options.seconds * t, speech = floatsFrom(options.speech), noise = floatsFrom(options.noise);
  const { T } = at(0, 0), first = structuredClone(options.value);
  let value = structuredClone(first), scores, sums, greedy, silence = () => {}, sweep = null;

  const root = html("div");
  element.append(root);
  const undress = dress(root);
  const levelOf = (snr) => Math.max(0, levels.findIndex(({ snr_db }) => snr_db === snr));
  const loudness = (n) => (levels[n].snr_db === null ? "none" : `${levels[n].snr_db} dB SNR`);
  const noisy = slider(
    "noise", { min: 0, max: levels.length - 1, value: levelOf(value.snr_db), shown: loudness },
    (n) => edit({ snr_db: levels[n].snr_db }),
  );
  const penalty = slider(
    "blank penalty", { min: -4, max: 8, step: 0.1, value: value.blank_penalty, shown: (x) => `${x.toFixed(1)} nats` },
    (x) => edit({ blank_penalty: x }),
  );
  const seconds = (t) => `${clock(t).toFixed(2)} s`;
  const move = (u, t) => edit({ frames: moved(value.frames, u, t, T) });
  const listen = (t) => { stop(); edit({ cursor: t }); };
  const picture = rnntPicture(T, target, labels, clock, words, { move, listen });
  const panel = searchPanel(T, labels, most, seconds, edit);
  const [path, heard] = ["path", "heard"].map((name) => html("div", { class: "readout", role: "status", "data-name": name }));
  root.append(
    row(noisy, penalty, button("most probable path", () => edit({ frames: bestFrames(scores) })),
      button("as at first", () => { stop(); assign(first); publish(); })),
    picture.element, path,
    row(button("play to the cursor", () => sound(value.cursor)), button("play all", all)), heard,
    html("hr", { style: "border: 0; border-top: 1px solid var(--line)" }), panel.element,
  );

  function edit(changes) {
    value = { ...value, ...changes };
    show();
    publish();
  }

  function assign(content) {
    value = { ...value, ...structuredClone(content) };
    noisy.show(levelOf(value.snr_db));
    penalty.show(value.blank_penalty);
    show();
  }

  function publish() { onChange(structuredClone(value)); }

  function show() {
    const { says, lattice } = at(levelOf(value.snr_db), value.blank_penalty);
    scores = rnntScores(lattice(), target);
    sums = rnntSums(scores);
    greedy = greedySteps(says, T, most);
    const text = panel.show(value, says), name = (written) => written.map((k) => labels[k]).join(" ");
    Object.assign(value, { log_path: pathScore(scores, value.frames), log_total: sums.logP, text: name(text) });
    picture.draw(value, sums.gamma);
    const share = (100 * Math.exp(value.log_path - sums.logP)).toPrecision(3);
    path.textContent = `ln P(path) = ${minus(value.log_path)}, ${share} % of all paths' sum; ln P(text) = ${minus(sums.logP)}`;
    const stair = target.filter((_, u) => value.frames[u] <= value.cursor);
    const written = greedy.filter(({ t, label }) => t <= value.cursor && label > 0).map(({ label }) => label);
    heard.textContent = `Up to ${seconds(value.cursor + 0.5)}: the stair wrote “${name(stair)}”, greedy search “${name(written)}”.`;
  }

  /** Play up to the end of a frame. */
  function sound(cursor, ended) {
    silence();
    const { gain } = levels[levelOf(value.snr_db)], end = Math.round(clock(cursor + 0.5) * rate);
    const mixed = speech.slice(0, end).map((x, i) => x + gain * noise[i]);
    const peak = mixed.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
    silence = play(mixed.map((x) => x / peak), rate, ended);
  }

  /** Play all, and let the cursor follow. */
  function all() {
    stop();
    const started = performance.now();
    sound(T - 1);
    const follow = () => {
      const t = Math.floor(((performance.now() - started) / 1000 - options.first) / options.seconds);
      const cursor = Math.min(T - 1, Math.max(0, t));
      if (cursor !== value.cursor) edit({ cursor });
      sweep = cursor < T - 1 ? requestAnimationFrame(follow) : null;
    };
    follow();
  }

  function stop() {
    if (sweep !== null) cancelAnimationFrame(sweep);
    sweep = null;
    silence();
    silence = () => {};
  }

  show();
  return {
    get value() { return structuredClone(value); },
    set({ value: content }) { stop(); assign(content); },
    destroy() { stop(); undress(); root.remove(); },
  };
}

export default widget(mount);
