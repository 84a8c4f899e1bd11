// The colours of style.css, for what is drawn on a canvas.

const NAMES = [
  "ink", "muted", "line", "edge", "surface", "connections", "requests", "bytes",
  "failed", "failed-paper",
  "serving", "warming", "draining", "ejected", "suspect",
];

let colours = null;
const listeners = new Set();

/** What `var(--name)` is now: `colour("serving")`. */
export function colour(name) {
  colours ??= read();
  return colours[name] ?? colours.muted;
}

/** Have `listener` called when the colours are others. */
export function onColours(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The theme was changed. */
export function coloursChanged() {
  colours = null;
  for (const listener of listeners) listener();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", coloursChanged);

// A property's own value may be light-dark(...): that of an element is a colour.
function read() {
  const probe = document.body.appendChild(document.createElement("i"));
  const found = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}
