// The panel of the transducer playground in which greedy and beam search go step by step.
import { button, choice, html, row, slider } from "./elements.mjs";
import { argmax, minus } from "./logs.mjs";
import { beamSteps, greedySteps } from "./rnnt_search.mjs";
import { labelColor } from "./theme.mjs";

/**
 * Return {element, show(value, says)}. edit(changes) is called with what is chosen: search, beam_width, step.
 * show returns the labels of the best text at the step.
 */
export function searchPanel(T, labels, most, seconds, edit) {
  let count = 1, now = 0;
  const go = (step) => edit({ step: Math.min(count - 1, Math.max(0, step)) });
  const search = choice("search", ["greedy", "beam"], "greedy", (name) => edit({ search: name, step: 0 }));
  const width = slider("beam width", { min: 1, max: 8, value: 4 }, (value) => edit({ beam_width: value }));
  const step = slider("step", { min: 0, max: 1, value: 0 }, go);
  const back = button("back", () => go(now - 1)), next = button("next", () => go(now + 1));
  const end = button("to the end", () => go(count - 1));
  const message = html("div", { class: "readout", role: "status", "data-name": "search" }), body = html("tbody");
  const table = html("table", { style: "min-height: 16em" }, body);
  const element = html("div", {}, row(search, width, step, back, next, end), message, table);
  const name = (written) => written.map((k) => labels[k]).join(" ") || "(nothing yet)";

  function line(text, part, number, color, strong) {
    const bar = html("div", { class: "bar", style: `width: ${(100 * part).toFixed(2)}%; background: ${color}` });
    return html(
      "tr", { style: strong ? "font-weight: bold" : "" }, html("td", { style: "white-space: nowrap" }, text),
      html("td", { style: "width: 55%" }, bar), html("td", { style: "white-space: nowrap" }, number),
    );
  }

  function show(value, says) {
    const greedy = value.search === "greedy";
    const steps = greedy ? greedySteps(says, T, most) : beamSteps(says, T, value.beam_width, most);
    count = steps.length;
    now = Math.min(value.step, count - 1);
    search.show(value.search);
    width.show(value.beam_width);
    width.input.disabled = greedy;
    step.input.max = count - 1;
    step.show(now);
    back.disabled = now === 0;
    next.disabled = end.disabled = now === count - 1;
    return greedy ? showGreedy(steps[now]) : showBeam(steps[now]);
  }

  function showGreedy({ t, written, logProbs, label, score }) {
    const best = argmax(logProbs), what = label === 0 ? "∅: go on to the next frame" : `${labels[label]}: write it, stay at the frame`;
    message.textContent = `t = ${t} (${seconds(t)}), written: ${name(written)} → ${best === label ? "" : "at the limit, "}${what}; ln P(path) = ${minus(score)}`;
    body.replaceChildren(...labels.map((one, k) => (
      line(one, Math.exp(logProbs[k]), Math.exp(logProbs[k]).toFixed(3), labelColor(k), k === label)
    )));
    return label === 0 ? written : [...written, label];
  }

  function showBeam(beam) {
    message.textContent = `after frame ${now} (${seconds(now)}), best of ${beam.length}: ${name(beam[0].written)}; ln P = ${minus(beam[0].score)}`;
    body.replaceChildren(...beam.map(({ written, score }, n) => (
      line(name(written), Math.exp(score - beam[0].score), `ln P = ${minus(score)}`, "var(--k1)", n === 0)
    )));
    return beam[0].written;
  }

  return { element, show };
}
