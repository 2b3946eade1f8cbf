// What all playgrounds look like: Okabe and Ito's colors, which stay apart for color-blind readers, on a light or
// a dark page, and viridis for heat maps.

const STYLE = `
.asrlib-play { --ink: #1b1b1b; --muted: #595959; --line: #c4c4c4; --panel: #ffffff; --mark: #d55e00;
  --k0: #555555; --k1: #0072b2; --k2: #d55e00; --k3: #009e73; --k4: #cc79a7; --k5: #56b4e9; --k6: #e69f00;
  background: var(--panel); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; padding: 10px 12px;
  border: 1px solid var(--line); border-radius: 6px; max-width: 940px; box-sizing: border-box; }
.asrlib-play[data-theme="dark"] { --ink: #ededed; --muted: #b4b4b4; --line: #5a5a5a; --panel: #1b1b1b;
  --mark: #e69f00; --k0: #a8a8a8; --k1: #56b4e9; --k2: #e69f00; --k3: #009e73; --k4: #cc79a7; --k5: #f0e442;
  --k6: #d55e00; color-scheme: dark; }
.asrlib-play[data-theme="light"] { color-scheme: light; }
.asrlib-play svg { display: block; width: 100%; height: auto; user-select: none; }
.asrlib-play svg text { fill: var(--ink); font-size: 12px; }
.asrlib-play svg text.small { font-size: 11px; }
.asrlib-play svg text.muted { fill: var(--muted); }
.asrlib-play svg text.middle { text-anchor: middle; }
.asrlib-play svg text.end { text-anchor: end; }
.asrlib-play .handle { cursor: grab; touch-action: none; }
.asrlib-play .handle:active { cursor: grabbing; }
.asrlib-play :focus { outline: none; }
.asrlib-play :focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
.asrlib-play .row { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; margin: 5px 0; }
.asrlib-play label { display: inline-flex; gap: 6px; align-items: center; white-space: nowrap; }
.asrlib-play input[type="range"] { width: 130px; accent-color: var(--k1); margin: 0; }
.asrlib-play input[type="text"] { width: 9em; font: 14px ui-monospace, monospace; }
.asrlib-play input[type="text"], .asrlib-play button, .asrlib-play select { color: var(--ink);
  background: var(--panel); border: 1px solid var(--muted); border-radius: 4px; padding: 3px 8px; }
.asrlib-play button { cursor: pointer; font-size: 13px; }
.asrlib-play button:disabled { opacity: 0.45; cursor: default; }
.asrlib-play output { min-width: 3.4em; font-variant-numeric: tabular-nums; }
.asrlib-play .readout { min-height: 1.45em; font-variant-numeric: tabular-nums; }
.asrlib-play .note { color: var(--muted); font-size: 13px; }
.asrlib-play canvas { display: block; width: 100%; image-rendering: pixelated; }
.asrlib-play table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; color: inherit; }
.asrlib-play td, .asrlib-play th { text-align: left; padding: 1px 12px 1px 0; font-weight: normal;
  border: 0; background: none; color: inherit; }
.asrlib-play .bar { height: 10px; background: var(--k1); min-width: 1px; }
`;

// 17 of the colors of matplotlib's viridis, evenly spaced
const VIRIDIS = [
  [68, 1, 84], [72, 24, 106], [71, 45, 123], [66, 64, 134], [59, 82, 139], [51, 99, 141],
  [44, 114, 142], [38, 130, 142], [33, 145, 140], [31, 160, 136], [40, 174, 128], [63, 188, 115],
  [94, 201, 98], [132, 212, 75], [173, 220, 48], [216, 226, 25], [253, 231, 37],
];

/** Return viridis' [red, green, blue], 0 to 255, at a place from 0 to 1. */
export function viridis(place) {
  const x = Math.min(1, Math.max(0, place)) * (VIRIDIS.length - 1), i = Math.min(VIRIDIS.length - 2, Math.floor(x));
  return VIRIDIS[i].map((from, c) => Math.round(from + (x - i) * (VIRIDIS[i + 1][c] - from)));
}

/** Return the color of label k as CSS; blank, label 0, is grey. */
export function labelColor(k) {
  return k === 0 ? "var(--k0)" : `var(--k${1 + ((k - 1) % 6)})`;
}

/** Make the element a playground: its style, light or dark as the page behind it. Return a function that ends it. */
export function dress(root) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  root.classList.add("asrlib-play");
  // JupyterLab would take arrow keys and letters for its own commands
  root.dataset.lmSuppressShortcuts = "true";
  root.prepend(style);
  const follow = () => { root.dataset.theme = isDark(root.parentElement) ? "dark" : "light"; };
  const watch = new MutationObserver(follow);
  for (const place of [document.documentElement, document.body]) watch.observe(place, { attributes: true });
  const prefers = window.matchMedia("(prefers-color-scheme: dark)");
  prefers.addEventListener("change", follow);
  follow();
  requestAnimationFrame(follow); // anywidget shows the element after it is filled
  return () => { watch.disconnect(); prefers.removeEventListener("change", follow); };
}

function isDark(element) {
  for (let place = element; place; place = place.parentElement) {
    const numbers = getComputedStyle(place).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [];
    if (numbers.length >= 3 && (numbers[3] ?? 1) > 0.5) {
      return 0.299 * numbers[0] + 0.587 * numbers[1] + 0.114 * numbers[2] < 128;
    }
  }
  // nothing is painted behind it: the browser's own canvas
  return getComputedStyle(document.documentElement).colorScheme.includes("dark")
    && window.matchMedia("(prefers-color-scheme: dark)").matches;
}
