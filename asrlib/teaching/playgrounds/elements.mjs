// Elements of a page: how they are made, dragged, and moved by the keyboard.

function filled(element, attributes, children) {
  set(element, attributes);
  element.append(...children);
  return element;
}

/** Make an SVG element. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/** Make an HTML element. */
export function html(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Set attributes; a function becomes the listener of the event that it is named after, null removes one. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === null) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
}

/** Return where in the picture's own coordinates a pointer is: {x, y}. */
export function pointIn(picture, event) {
  return new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
}

/** Call move(point) while the pointer is pressed on the element, wherever it goes. */
export function draggable(element, picture, move) {
  element.classList.add("handle");
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    element.focus({ focusVisible: false });
    if (event.isTrusted) element.setPointerCapture(event.pointerId);
    const follow = (moved) => move(pointIn(picture, moved));
    const end = () => {
      element.removeEventListener("pointermove", follow);
      element.removeEventListener("pointerup", end);
      element.removeEventListener("pointercancel", end);
    };
    element.addEventListener("pointermove", follow);
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
    follow(event);
  });
}

/** Call what the pressed key is for: keys maps names of keys to functions. */
export function onKeys(element, keys) {
  element.addEventListener("keydown", (event) => {
    const wanted = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!wanted) return;
    event.preventDefault();
    event.stopPropagation();
    wanted(event);
  });
}

/**
 * Let Tab reach one element of a grid, and arrow keys the others. The rows are arrays of elements; keys that are
 * in `taken` are not for moving.
 */
export function roving(rows, taken = []) {
  rows.flat().forEach((element, n) => element.setAttribute("tabindex", n === 0 ? 0 : -1));
  const go = (row, column) => {
    const to = rows[row]?.[column];
    if (!to) return;
    rows.flat().forEach((element) => element.setAttribute("tabindex", element === to ? 0 : -1));
    to.focus();
  };
  rows.forEach((row, i) => row.forEach((element, j) => {
    const keys = {
      ArrowLeft: () => go(i, j - 1), ArrowRight: () => go(i, j + 1), ArrowUp: () => go(i - 1, j), ArrowDown: () => go(i + 1, j),
    };
    taken.forEach((key) => delete keys[key]);
    onKeys(element, keys);
    element.addEventListener("focus", () => rows.flat().forEach((other) => {
      other.setAttribute("tabindex", other === element ? 0 : -1);
    }));
  }));
}

/** Make a labelled slider: {element, input, show(value)}. `changed(value)` is called while it moves. */
export function slider(name, { min, max, step = 1, value, shown = String }, changed) {
  const input = html("input", { type: "range", min, max, step, "aria-label": name });
  const output = html("output");
  const show = (number) => {
    input.value = number;
    output.textContent = shown(number);
    input.setAttribute("aria-valuetext", shown(number));
  };
  show(value);
  input.addEventListener("input", () => { show(Number(input.value)); changed(Number(input.value)); });
  return { element: html("label", {}, name, input, output), input, show };
}

/** Make a button. */
export function button(name, pressed) {
  return html("button", { type: "button", click: pressed }, name);
}

/** Make a labelled choice among names: {element, show(name)}. */
export function choice(name, options, value, changed) {
  const select = html("select", { "aria-label": name }, ...options.map((o) => html("option", { value: o }, o)));
  select.value = value;
  select.addEventListener("change", () => changed(select.value));
  return { element: html("label", {}, name, select), show: (option) => { select.value = option; } };
}

/** Make a labelled field for text: {element, input}. */
export function field(name, value, changed) {
  const input = html("input", { type: "text", "aria-label": name, spellcheck: "false", autocomplete: "off" });
  input.value = value;
  input.addEventListener("input", () => changed(input.value));
  return { element: html("label", {}, name, input), input };
}

/** Make controls that stand in a row. */
export function row(...controls) {
  return html("div", { class: "row" }, ...controls.map((control) => control.element ?? control));
}
