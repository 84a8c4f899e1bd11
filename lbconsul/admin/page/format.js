// Numbers and times as people read them.

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const THOUSAND = 1000;

/** Three significant digits, and no more than one place: 7, 12.3, 123. */
function significant(value) {
  if (value >= 100 || Number.isInteger(value)) return WHOLE.format(value);
  return value.toFixed(value < 10 ? 2 : 1).replace(/\.?0+$/, "");
}

/** 1,234 up to a hundred thousand; 1.23 M beyond. */
export function count(value) {
  if (value < 100 * THOUSAND) return WHOLE.format(value);
  return scaled(value, THOUSAND, ["", " k", " M", " G", " T"]);
}

/** How often a second: 0, 0.3, 12, 1,234. */
export function rate(value) {
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  return value < 9.95 ? value.toFixed(1) : count(value);
}

/** 0 B, 12.3 kB, 1.2 MB. */
export function bytes(value) {
  return scaled(value, THOUSAND, [" B", " kB", " MB", " GB", " TB", " PB"]);
}

function scaled(value, base, units) {
  let unit = 0;
  let left = value;
  while (left >= 999.5 && unit < units.length - 1) {
    left /= base;
    unit += 1;
  }
  const digits = unit === 0 || left >= 99.5 ? 0 : 1;
  return left.toFixed(digits) + units[unit];
}

/** How long connecting takes: 0.4 ms, 12 ms, 1.2 s. */
export function latency(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return `${significant(seconds)} s`;
}

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** The two largest units of a span: 3 s, 4 min 12 s, 2 d 3 h. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([size]) => whole >= size);
  if (first < 0) return "0 s";
  const [size, name] = UNITS[first];
  const text = `${Math.floor(whole / size)} ${name}`;
  if (first === UNITS.length - 1) return text;
  const [smaller, nextName] = UNITS[first + 1];
  const rest = Math.floor((whole % size) / smaller);
  return rest ? `${text} ${rest} ${nextName}` : text;
}

/** The largest unit alone, for where there is little room. */
export function shortSpan(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [size, name] = UNITS.find(([each]) => whole >= each) ?? UNITS.at(-1);
  return `${Math.floor(whole / size)} ${name}`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** 14:03:22, with the day before it if that is not today. */
export function clock(epoch) {
  const when = new Date(epoch * 1000);
  const time = CLOCK.format(when);
  const today = when.toDateString() === new Date().toDateString();
  return today ? time : `${DAY.format(when)}, ${time}`;
}

/** "1 upstream", "3 upstreams". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
