// The CTC playground: drag y, and α, β, γ and the gradient follow; type a path; descend until spikes form.
import { ctcPicture } from "./ctc_picture.mjs";
import { collapse, ctcBestPath, ctcSums, statesBefore, statesOf, withProbability } from "./ctc_sums.mjs";
import { button, choice, field, html, row, slider } from "./elements.mjs";
import { logSoftmax } from "./logs.mjs";
import { dress } from "./theme.mjs";
import { widget } from "./widget.mjs";

const BLANKS = "∅-_", STEPS = 400, LONGEST_TARGET = 6;

/**
 * Fill an element with the playground. options: {labels, value}, as asrlib.teaching.playgrounds.ctc_options gives;
 * labels has single characters, blank first; value is {y, target, path, shown}. onChange gets the new value, with
 * the loss in nats (null: no path). Returns {value, set({value}), destroy()}.
 */
export function mount(element, options, { onChange = () => {} } = {}) {
  const labels = options.labels, first = structuredClone(options.value);
  let value = structuredClone(first), sums, picture, pointed = null, onPath = null, running = null, taken = 0;

  const root = html("div");
  element.append(root);
  const undress = dress(root);
  const target = field("target", value.target, aim);
  const path = field("path", value.path, (text) => edit({ path: text }));
  const shown = choice("show", ["α", "β", "γ"], value.shown, (name) => edit({ shown: name }));
  const rate = slider("step size", { min: 0.1, max: 4, step: 0.1, value: 1, shown: (x) => x.toFixed(1) }, () => {});
  const run = button("descend", () => (running === null ? start() : stop()));
  const place = html("div");
  const [message, loss, collapsed, arcs] = ["status", "status", "status", "note"].map((kind) => (
    html("div", kind === "note" ? { class: "readout note" } : { class: "readout", role: kind })
  ));
  loss.dataset.name = "loss";
  collapsed.dataset.name = "collapse";
  arcs.dataset.name = "arcs";
  root.append(
    row(target, shown, button("one step", () => { stop(); descend(); publish(); }), run, rate,
      button("all even", () => { stop(); taken = 0; edit({ y: value.y.map((y) => y.map(() => 1 / y.length)) }); }),
      button("as at first", () => { stop(); taken = 0; assign(first); publish(); })),
    message, place, arcs, loss,
    row(path, button("best path", () => edit({ path: spelled(bestPath()) }))), collapsed,
  );

  const symbols = (text) => Array.from(text, (c) => (BLANKS.includes(c) ? 0 : labels.indexOf(c)));
  const spelled = (path) => path.map((k) => labels[k]).join("");
  const bestPath = () => ctcBestPath(logs(), symbols(value.target)).map((s) => sums.states[s]);
  const logs = () => value.y.map((y) => y.map(Math.log));

  /** Take a new target if it can be one. */
  function aim(text) {
    const found = symbols(text);
    message.textContent = found.some((k) => k <= 0) ? `The target has letters from ${labels.slice(1).join(" ")}.`
      : found.length > LONGEST_TARGET ? `The target has at most ${LONGEST_TARGET} letters.` : "";
    if (!message.textContent) edit({ target: text });
  }

  function edit(changes) {
    Object.assign(value, changes);
    show(!("y" in changes || "shown" in changes || "path" in changes));
    publish();
  }

  function assign(content) {
    value = { ...value, ...structuredClone(content) };
    target.input.value = value.target;
    path.input.value = value.path;
    shown.show(value.shown);
    show(true);
  }

  function drag(t, k, p) {
    stop();
    taken = 0;
    edit({ y: value.y.map((y, frame) => (frame === t ? withProbability(y, k, p) : y)) });
  }

  function descend() {
    const logits = logs();
    value.y = logits.map((row, t) => (
      logSoftmax(row.map((x, k) => x - Number(rate.input.value) * sums.gradient[t][k])).map(Math.exp)
    ));
    taken += 1;
    show(false);
  }

  function start() {
    run.textContent = "stop";
    const step = () => {
      descend();
      publish();
      // spikes: the loss is as good as zero
      if (taken % STEPS === 0 || sums.logP === -Infinity || sums.logP > -0.005) stop();
      else running = requestAnimationFrame(step);
    };
    running = requestAnimationFrame(step);
  }

  function stop() {
    if (running !== null) cancelAnimationFrame(running);
    running = null;
    run.textContent = "descend";
  }

  function publish() {
    onChange(structuredClone({ ...value, loss: sums.logP === -Infinity ? null : -sums.logP }));
  }

  function show(rebuild) {
    const labelsOut = symbols(value.target), steps = symbols(value.path);
    sums = ctcSums(logs(), labelsOut);
    if (rebuild || !picture) {
      picture = ctcPicture(value.y.length, labels, labelsOut, { drag, look });
      place.replaceChildren(picture.element);
    }
    const complete = steps.length === value.y.length && !steps.includes(-1);
    onPath = complete ? statesOf(steps, labelsOut) : null;
    if (pointed && pointed[1] >= sums.states.length) pointed = null;
    redraw();
    const repeats = labelsOut.filter((k, n) => n > 0 && k === labelsOut[n - 1]).length;
    loss.textContent = sums.logP === -Infinity
      ? `No path: this target needs ${labelsOut.length + repeats} frames or more.`
      : `P(target) = ${Math.exp(sums.logP).toPrecision(4)}, loss = −ln P = ${(-sums.logP).toFixed(4)} nats`
        + (taken ? ` after ${taken} step${taken === 1 ? "" : "s"}` : "");
    collapsed.textContent = complete ? aboutPath(steps) : unfinished(steps);
  }

  function unfinished(steps) {
    if (steps.includes(-1)) return `A path has letters from ${labels.slice(1).join(" ")} and - for blank.`;
    return `A path needs one symbol per frame: ${value.y.length}; here are ${steps.length}.`;
  }

  function aboutPath(steps) {
    const { merged, labels: out } = collapse(steps);
    const logPath = steps.reduce((sum, k, t) => sum + Math.log(value.y[t][k]), 0);
    const share = onPath ? `, ${(100 * Math.exp(logPath - sums.logP)).toFixed(1)} % of P(target)` : ": not the target";
    const words = [steps, merged, out].map((part) => part.map((k) => labels[k]).join(" ") || "(nothing)");
    return `${words[0]} → merge repeats → ${words[1]} → drop blanks → ${words[2]}; P(path) = ${Math.exp(logPath).toPrecision(3)}${share}`;
  }

  function look(t, s) {
    pointed = t === null ? null : [t, s];
    redraw();
  }

  /** Draw, and say what comes into the node that is pointed at. */
  function redraw() {
    picture.draw({ ...value, path: onPath, pointed }, sums);
    if (!pointed) {
      arcs.textContent = "Point at a node, or go there with Tab and the arrow keys, to see what it is the sum of.";
      return;
    }
    const [t, s] = pointed;
    const p = (x) => Math.exp(x).toPrecision(3), k = sums.states[s], from = t ? statesBefore(sums.states, s) : [];
    const names = from.map((before) => `α(${t - 1}, ${before})`).join(" + ") || "start";
    const numbers = from.map((before) => p(sums.alpha[t - 1][before])).join(" + ") || (s < 2 ? "1" : "0");
    arcs.textContent = `α(${t}, ${s}) = y(${t}, ${labels[k]}) · (${names}) = ${value.y[t][k].toPrecision(3)} · (${numbers})`
      + ` = ${p(sums.alpha[t][s])}; β(${t}, ${s}) = ${p(sums.beta[t][s])}; γ(${t}, ${s}) = ${sums.gamma[t][s].toPrecision(3)}`;
  }

  assign(first);
  return {
    get value() { return structuredClone({ ...value, loss: sums.logP === -Infinity ? null : -sums.logP }); },
    set({ value: content }) { stop(); assign(content); },
    destroy() { stop(); undress(); root.remove(); },
  };
}

export default widget(mount);
