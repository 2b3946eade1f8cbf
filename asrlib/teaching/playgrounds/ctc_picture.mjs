// The picture of the CTC playground: bars of y, the gradient below them, and the trellis.
import { draggable, onKeys, roving, set, svg } from "./elements.mjs";
import { statesBefore, withBlanks } from "./ctc_sums.mjs";
import { labelColor } from "./theme.mjs";

const WIDTH = 900, LEFT = 76, BARS = 22, TALL = 120, SLOPES = 182, HALF = 22, TRELLIS = 250, ROW = 34;

/**
 * Return {element, draw(state, sums)} for T frames, labels and a target.
 * drag(t, k, p) is called for a bar that is moved, look(t, s) for a node that is pointed at or focused (null: none).
 */
export function ctcPicture(T, labels, target, { drag, look }) {
  const states = withBlanks(target), V = labels.length;
  const height = TRELLIS + ROW * states.length + 10;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "group", "aria-label": "CTC's bars and trellis" });
  const column = (WIDTH - LEFT - 8) / T, wide = Math.min(30, (column - 14) / V);
  const middle = (t) => LEFT + (t + 0.5) * column, level = (s) => TRELLIS + (s + 0.5) * ROW;
  const left = (t, k) => middle(t) + (k - V / 2) * wide;

  const text = (x, y, content, kind = "") => svg("text", { x, y, class: kind }, content);
  picture.append(
    text(LEFT - 10, BARS + 10, "1", "end small muted"), text(LEFT - 10, BARS + TALL, "0", "end small muted"),
    text(4, BARS + TALL / 2, "y: drag"), text(4, SLOPES - 4, "gradient"), text(4, SLOPES + 10, "−1 to 1", "small muted"),
    svg("line", { x1: LEFT, x2: WIDTH - 8, y1: SLOPES, y2: SLOPES, stroke: "var(--line)" }),
    svg("line", { x1: LEFT, x2: WIDTH - 8, y1: BARS + TALL, y2: BARS + TALL, stroke: "var(--line)" }),
    text(4, TRELLIS - 14, "frame t", "small muted"),
  );
  const bars = [], slopes = [], nodes = [], arcs = new Map();
  for (let t = 0; t < T; t++) {
    picture.append(text(middle(t), TRELLIS - 14, String(t), "middle small muted"));
    bars.push(labels.map((label, k) => bar(t, k, label)));
    slopes.push(labels.map((_, k) => svg("rect", { x: left(t, k) + 1, width: wide - 2 })));
    picture.append(...bars[t].map((one) => one.group), ...slopes[t]);
  }
  states.forEach((label, s) => picture.append(
    svg("rect", { x: LEFT - 24, y: level(s) - 6, width: 12, height: 12, rx: 2, fill: labelColor(label) }),
    text(LEFT - 32, level(s) + 4, labels[label], "end"),
  ));
  for (let t = 1; t < T; t++) {
    states.forEach((_, s) => statesBefore(states, s).forEach((from) => {
      const arc = svg("line", { x1: middle(t - 1), y1: level(from), x2: middle(t), y2: level(s) });
      arcs.set(`${t} ${from} ${s}`, arc);
      picture.append(arc);
    }));
  }
  for (let t = 0; t < T; t++) {
    nodes.push(states.map((label, s) => node(t, s, label)));
    picture.append(...nodes[t].map((one) => one.group));
  }
  roving(bars.map((row) => row.map((one) => one.group)).reduce((all, row) => [all[0].concat(row)], [[]]), ["ArrowUp", "ArrowDown"]);
  roving(states.map((_, s) => nodes.map((row) => row[s].group)));

  function bar(t, k, label) {
    const x = left(t, k);
    const fill = svg("rect", { x: x + 1, width: wide - 2, fill: labelColor(k) });
    const number = text(x + wide / 2, BARS, "", "middle small");
    const group = svg(
      "g", { role: "slider", "aria-label": `y of ${label} in frame ${t}`, "aria-valuemin": 0, "aria-valuemax": 1 },
      svg("rect", { x, y: BARS - 14, width: wide, height: TALL + 30, fill: "transparent" }), fill, number,
      text(x + wide / 2, BARS + TALL + 14, label, "middle small"),
    );
    draggable(group, picture, (point) => drag(t, k, (BARS + TALL - point.y) / TALL));
    const to = (change) => () => drag(t, k, Number(group.getAttribute("aria-valuenow")) + change);
    onKeys(group, { ArrowUp: to(0.05), ArrowDown: to(-0.05), PageUp: to(0.2), PageDown: to(-0.2), Home: to(-1), End: to(1) });
    return { group, fill, number };
  }

  function node(t, s, label) {
    const circle = svg("circle", { cx: middle(t), cy: level(s), r: 14, "stroke-width": 1.5, stroke: labelColor(label) });
    const ground = svg("circle", { cx: middle(t), cy: level(s), r: 14, fill: "var(--panel)" });
    const number = text(middle(t), level(s) + 4, "", "middle small");
    const group = svg("g", { role: "img", class: "node" }, ground, circle, number);
    set(group, { pointerenter: () => look(t, s), pointerleave: () => look(null), focus: () => look(t, s), blur: () => look(null) });
    return { group, circle, number };
  }

  /** Show y (T, V), the sums, the states of a path (or null), and the arcs into a node (or null). */
  function draw({ y, shown, path, pointed }, sums) {
    const value = shown === "γ" ? (t, s) => sums.gamma[t][s] : (t, s) => Math.exp(sums[shown === "α" ? "alpha" : "beta"][t][s]);
    for (let t = 0; t < T; t++) {
      for (let k = 0; k < V; k++) {
        const { group, fill, number } = bars[t][k], tall = y[t][k] * TALL, slope = sums.gradient[t][k] * HALF;
        set(fill, { y: BARS + TALL - tall, height: tall });
        set(number, { y: BARS + TALL - tall - 3 });
        number.textContent = y[t][k] < 0.005 ? "" : y[t][k].toFixed(2).replace(/^0/, "");
        set(group, { "aria-valuenow": y[t][k].toFixed(4), "aria-valuetext": `${y[t][k].toFixed(2)}, gradient ${sums.gradient[t][k].toFixed(2)}` });
        set(slopes[t][k], { y: SLOPES - Math.max(0, slope), height: Math.abs(slope), fill: slope > 0 ? "var(--k2)" : "var(--k1)" });
      }
      states.forEach((label, s) => {
        const { group, circle, number } = nodes[t][s], p = value(t, s);
        set(circle, { fill: labelColor(label), "fill-opacity": 0.6 * p, "stroke-opacity": p > 1e-4 ? 1 : 0.3 });
        number.textContent = p < 5e-4 ? "0" : p > 0.9995 ? "1" : p.toFixed(p < 0.0995 ? 3 : 2).replace(/^0/, "");
        const sentence = `frame ${t}, state ${s} ${labels[label]}: ${shown} ${p.toPrecision(4)}`;
        set(group, { "aria-label": sentence });
      });
    }
    for (const [name, arc] of arcs) {
      const [t, from, s] = name.split(" ").map(Number);
      const into = pointed && pointed[0] === t && pointed[1] === s;
      const onPath = path && path[t - 1] === from && path[t] === s;
      const width = into ? 3.5 : onPath ? 3 : 1;
      set(arc, { stroke: into ? "var(--ink)" : onPath ? "var(--mark)" : "var(--line)", "stroke-width": width, "data-into": into ? "true" : null });
    }
  }

  return { element: picture, draw };
}
