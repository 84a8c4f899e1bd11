// What a mapping did in the last hour: what the gateway has kept of it, and what came
// since, in steps as long as the gateway's.

/** The columns of the gateway's `/history`. */
const COLUMNS = ["open", "connections", "requests", "received", "sent", "failed"];
const LENGTH = 3600;
const MINUTE = 60;
/** Samples further apart than this many steps are not of one line. */
const GAP = 2.5;

export class Hour {
  times = [];
  step = 10;
  /** What came since the last sample: since when, how often, and the sums. */
  #begun = null;

  constructor() {
    for (const name of COLUMNS) this[name] = [];
  }

  /** Begin with what the gateway has kept: `row` has a list for each column. */
  load(step, times, row) {
    this.step = step;
    this.times = [...times];
    for (const name of COLUMNS) this[name] = [...(row[name] ?? times.map(() => null))];
    this.#begun = null;
  }

  /** These were the rates at `now`. */
  add(now, rates) {
    if (now <= (this.times.at(-1) ?? -Infinity)) return;
    this.#begun ??= { begin: now, count: 0, sums: {} };
    const { begin, sums } = this.#begun;
    this.#begun.now = now;
    this.#begun.count += 1;
    for (const name of COLUMNS)
      if (typeof rates[name] === "number") sums[name] = (sums[name] ?? 0) + rates[name];
    if (now - begin >= this.step - 1) this.#end(now);
  }

  /** The means of what came since the last sample: `{now, valueOf(name)}`, or null. */
  get since() {
    if (this.#begun === null) return null;
    const { count, now, sums } = this.#begun;
    return { now, valueOf: (name) => (sums[name] === undefined ? null : sums[name] / count) };
  }

  #end(now) {
    const { valueOf } = this.since;
    this.#begun = null;
    const last = this.times.at(-1);
    if (last !== undefined && now - last > GAP * this.step) this.#push(last + this.step, () => null);
    this.#push(now, valueOf);
    while (this.times[0] < now - LENGTH) {
      this.times.shift();
      for (const name of COLUMNS) this[name].shift();
    }
  }

  #push(time, valueOf) {
    this.times.push(time);
    for (const name of COLUMNS) this[name].push(valueOf(name));
  }
}

/** How much of a column there was in the last minute that is known. */
export function lastMinute(hour, live, name) {
  const now = live.times.at(-1) ?? hour.times.at(-1) ?? 0;
  let [total, until] = sumBack(live, name, now, now);
  if (until > now - MINUTE) total += sumBack(hour, name, until, now)[0];
  return total;
}

/** The sum from `until` backwards, in the minute before `now`, and where it ends. */
function sumBack({ times, step = 1, ...columns }, name, until, now) {
  const values = columns[name];
  let total = 0;
  for (let place = times.length - 1; place >= 0; place -= 1) {
    const end = Math.min(until, times[place]);
    const begin = Math.max(now - MINUTE, times[place - 1] ?? times[place] - step);
    if (end <= now - MINUTE) break;
    if (begin >= end) continue;
    total += (values[place] ?? 0) * (end - begin);
    until = begin;
  }
  return [total, until];
}

/** The columns of a chart, times first: by the second where that is known. */
export function joined(hour, live, names) {
  const from = live.times[0] ?? Infinity;
  const before = hour.times.filter((each) => each < from).length;
  const join = (name) => [...hour[name].slice(0, before), ...live[name]];
  return [join("times"), ...names.map(join)];
}

/** The columns of a chart of a longer time; its last point is of what came since. */
export function hourly(hour, names) {
  const { since } = hour;
  if (since === null) return [hour.times, ...names.map((name) => hour[name])];
  return [[...hour.times, since.now], ...names.map((name) => [...hour[name], since.valueOf(name)])];
}
