// The picture of the transducer playground: γ over frames and labels, a stair to drag, and the cursor.
import { draggable, onKeys, set, svg } from "./elements.mjs";
import { labelColor } from "./theme.mjs";

const WIDTH = 900, LEFT = 104, TOP = 46, ROW = 40;

/**
 * Return {element, draw({frames, cursor}, gamma)} of a target's lattice. clock(t) gives seconds, words are the spoken
 * [word, start, end]. move(u, t) is called for a label that is dragged, listen(t) for the cursor.
 */
export function rnntPicture(T, target, labels, clock, words, { move, listen }) {
  const U = target.length, bottom = TOP + ROW * (U + 1), column = (WIDTH - LEFT - 8) / T;
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${bottom + 40}`, role: "group", "aria-label": "γ of frames and labels" });
  const x = (t) => LEFT + (t + 0.5) * column, y = (u) => bottom - (u + 0.5) * ROW;
  const frameAt = (point) => Math.min(T - 1, Math.max(0, Math.floor((point.x - LEFT) / column)));
  const seconds = (t) => `${clock(t).toFixed(2)} s`;
  const at = (time) => LEFT + ((time - clock(-0.5)) / (clock(1) - clock(0))) * column;
  const text = (left, top, content, kind = "") => svg("text", { x: left, y: top, class: kind }, content);

  for (const [word, start, end] of words) {
    const [from, to] = [at(start), Math.min(WIDTH - 8, at(end))];
    picture.append(
      svg("line", { x1: from + 1, x2: to - 1, y1: TOP - 8, y2: TOP - 8, stroke: "var(--muted)", "stroke-width": 3 }),
      text((from + to) / 2, TOP - 14, word, "middle small muted"),
    );
  }
  const cells = [];
  for (let t = 0; t < T; t++) {
    cells.push(Array.from({ length: U + 1 }, (_, u) => svg("rect", {
      x: LEFT + t * column + 0.5, y: y(u) - ROW / 2 + 0.5, width: column - 1, height: ROW - 1,
      fill: "var(--k1)", stroke: "var(--line)", "stroke-width": 0.5,
    })));
    picture.append(...cells[t]);
    if (t % 5 === 0) picture.append(text(x(t), bottom + 14, String(t), "middle small muted"), text(x(t), bottom + 27, seconds(t), "middle small muted"));
  }
  picture.append(text(4, bottom + 14, "frame t", "small muted"), text(4, TOP - 8, "said", "small muted"));
  for (let u = 0; u <= U; u++) {
    const name = u === 0 ? "nothing" : labels[target[u - 1]];
    if (u) picture.append(svg("rect", { x: LEFT - 18, y: y(u) - 6, width: 12, height: 12, rx: 2, fill: labelColor(target[u - 1]) }));
    picture.append(text(LEFT - 24, y(u) + 4, `${u}  ${name}`, "end"));
  }
  const future = svg("rect", { y: TOP, height: bottom - TOP, fill: "var(--panel)", "fill-opacity": 0.55, "pointer-events": "none" });
  const stair = svg("polyline", { fill: "none", stroke: "var(--mark)", "stroke-width": 3, "stroke-linejoin": "round", "pointer-events": "none" });
  picture.append(future, stair);

  const cursor = svg(
    "g", { role: "slider", tabindex: 0, "aria-label": "heard up to frame", "aria-valuemin": 0, "aria-valuemax": T - 1 },
    svg("rect", { x: -12, y: TOP - 4, width: 24, height: bottom - TOP + 30, fill: "transparent" }),
    svg("line", { y1: TOP, y2: bottom + 4, stroke: "var(--ink)", "stroke-width": 1.5 }),
    svg("path", { d: `M 0 ${bottom + 2} l 8 14 h -16 z`, fill: "var(--ink)" }),
  );
  const steps = (now, to, page) => ({
    ArrowLeft: () => to(now() - 1), ArrowRight: () => to(now() + 1), ArrowDown: () => to(now() - 1), ArrowUp: () => to(now() + 1),
    PageDown: () => to(now() - page), PageUp: () => to(now() + page), Home: () => to(0), End: () => to(T - 1),
  });
  const valueOf = (element) => () => Number(element.getAttribute("aria-valuenow"));
  draggable(cursor, picture, (point) => listen(frameAt(point)));
  onKeys(cursor, steps(valueOf(cursor), (t) => listen(Math.min(T - 1, Math.max(0, t))), 5));
  picture.append(cursor);

  const risers = target.map((k, u) => {
    const riser = svg(
      "g", { role: "slider", tabindex: 0, "aria-label": `label ${u + 1}, ${labels[k]}, written at frame`, "aria-valuemin": 0, "aria-valuemax": T - 1 },
      svg("rect", { x: -11, y: y(u + 1), width: 22, height: ROW, fill: "transparent" }),
      svg("line", { y1: y(u), y2: y(u + 1), stroke: "var(--mark)", "stroke-width": 7, "stroke-linecap": "round" }),
      svg("circle", { cy: (y(u) + y(u + 1)) / 2, r: 7, fill: "var(--panel)", stroke: "var(--mark)", "stroke-width": 3 }),
    );
    draggable(riser, picture, (point) => move(u, frameAt(point)));
    onKeys(riser, steps(valueOf(riser), (t) => move(u, t), 5));
    picture.append(riser);
    return riser;
  });

  function draw({ frames, cursor: heard }, gamma) {
    cells.forEach((row, t) => row.forEach((cell, u) => set(cell, { "fill-opacity": gamma[t][u].toFixed(4) })));
    const points = [];
    for (let t = 0, u = 0; t < T; t++) {
      points.push([t, u]);
      while (u < U && frames[u] === t) points.push([t, ++u]);
    }
    set(stair, { points: points.map(([t, u]) => `${x(t)},${y(u)}`).join(" ") });
    risers.forEach((riser, u) => set(riser, {
      transform: `translate(${x(frames[u])} 0)`, "aria-valuenow": frames[u], "aria-valuetext": `${frames[u]}, ${seconds(frames[u])}`,
    }));
    const edge = LEFT + (heard + 1) * column;
    set(cursor, { transform: `translate(${edge} 0)`, "aria-valuenow": heard, "aria-valuetext": `${heard}, ${seconds(heard)}` });
    set(future, { x: edge, width: Math.max(0, LEFT + T * column - edge) });
  }

  return { element: picture, draw };
}
