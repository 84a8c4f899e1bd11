// A status of the gateway, and what figures say has changed in it since.

/** What went wrong: of a mapping `/status` has so many of each. */
const UNHAPPY = ["unhappy", "unhappy_connections"];
const UNHAPPY_KEPT = 50;

export const keyOf = (...parts) => parts.join("\n");

export class Picture {
  constructor(status) {
    this.status = status;
    /** When it was taken. */
    this.taken = status.gateway.now;
    this.watches = new Map(status.watches.map((each) => [each.query, each]));
    this.mappings = new Map(status.mappings.map((each) => [each.name, each]));
    this.pools = new Map();
    this.upstreams = new Map();
    for (const mapping of status.mappings)
      for (const pool of mapping.pools) {
        this.pools.set(keyOf(mapping.name, pool.query), pool);
        for (const each of pool.upstreams)
          this.upstreams.set(keyOf(mapping.name, pool.query, each.id), each);
      }
  }

  get now() {
    return this.status.gateway.now;
  }

  /** Put into it what changed; whether all of it is about what there is in it. */
  merge({ gateway = {}, watches = [], mappings = [], upstreams = [], gone = [] }) {
    Object.assign(this.status.gateway, gateway);
    const known = [
      ...watches.map((row) => assign(this.watches.get(row.query), row)),
      ...mappings.map((row) => this.#mapping(row)),
      ...upstreams.map((row) => this.#upstream(row)),
    ];
    for (const each of gone) this.forget(keyOf(each.mapping, each.query, each.id));
    return known.every(Boolean);
  }

  /** This upstream is not there any more. */
  forget(key) {
    const gone = this.upstreams.get(key);
    if (gone === undefined) return;
    this.upstreams.delete(key);
    const pool = this.pools.get(key.split("\n", 2).join("\n"));
    pool.upstreams = pool.upstreams.filter((each) => each !== gone);
  }

  #mapping(row) {
    const known = this.mappings.get(row.name);
    const whole = { ...row };
    for (const name of UNHAPPY)
      if (known?.[name] && row[name]) whole[name] = withOlder(row[name], known[name]);
    return assign(known, whole);
  }

  #upstream({ mapping, query, ...row }) {
    const key = keyOf(mapping, query, row.id);
    if (assign(this.upstreams.get(key), row)) return true;
    // One that is new comes with all its fields.
    const pool = this.pools.get(keyOf(mapping, query));
    if (pool === undefined || row.address === undefined) return false;
    pool.upstreams.push(row);
    this.upstreams.set(key, row);
    return true;
  }
}

function assign(row, changes) {
  if (row === undefined) return false;
  Object.assign(row, changes);
  return true;
}

/** The stream has only the newest of what went wrong. */
function withOlder(newest, known) {
  const oldest = newest.at(-1)?.time ?? -Infinity;
  return [...newest, ...known.filter((each) => each.time < oldest)].slice(0, UNHAPPY_KEPT);
}
