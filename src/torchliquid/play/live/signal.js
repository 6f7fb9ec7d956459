// The signal: a function of the sample's number, of the settings, and of what was done by hand.
// Nothing is kept that a link could not hold: the same settings give the same signal.

export const SETTINGS = {
  noise: { label: "Noise", min: 0, max: 1, step: 0.05, value: 0, unit: "of the signal's deviation" },
  gain: { label: "Gain", min: 0, max: 3, step: 0.1, value: 1, unit: "times" },
  frequency: { label: "Frequency", min: 0.25, max: 4, step: 0.05, value: 1, unit: "times" },
  drift: { label: "Drift", min: -1, max: 1, step: 0.05, value: 0, unit: "deviations in 100 samples" },
};
export const EVENTS = { none: "none", spikes: "spikes", jumps: "jumps" };
const EVERY = 60, SPIKE = 2.5, JUMP = 1.5; // samples; deviations

/** A number in [0, 1) that belongs to a seed and a sample. */
function uniform(seed, k, salt) {
  let h = Math.imul(k ^ salt, 0x9e3779b1) ^ Math.imul(seed + salt, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return ((h ^ (h >>> 15)) >>> 0) / 4294967296;
}

/** The same, normal. */
export function gauss(seed, k) {
  return Math.sqrt(-2 * Math.log(1 - uniform(seed, k, 1))) * Math.cos(2 * Math.PI * uniform(seed, k, 2));
}

export class Signal {
  /** base: rows of columns, the first of which is bent; it starts again at its end, backwards. */
  constructor(base) {
    this.base = base;
    const first = base.rows.map((row) => row[0]);
    this.mean = first.reduce((a, b) => a + b, 0) / first.length;
    const squares = first.reduce((a, b) => a + (b - this.mean) ** 2, 0);
    this.deviation = Math.sqrt(squares / first.length) || 1;
    this.clear();
    this.settings = { events: "spikes", seed: 1 };
    for (const [name, { value }] of Object.entries(SETTINGS)) this.settings[name] = value;
  }

  clear() {
    this.spikes = new Map(); // sample: sign
    this.jumps = new Map();
    this.deleted = new Set();
    this.drawn = new Map(); // sample: value
  }

  /** The base at a place between its rows, forwards and back. */
  row(place) {
    const rows = this.base.rows, last = rows.length - 1;
    if (last === 0) return rows[0];
    let at = place % (2 * last);
    if (at > last) at = 2 * last - at;
    const low = Math.min(Math.floor(at), last - 1), part = at - low;
    return rows[low].map((value, c) => value + part * (rows[low + 1][c] - value));
  }

  event(k) {
    if (this.spikes.has(k)) return "spike";
    if (this.jumps.has(k)) return "jump";
    const { events } = this.settings, turn = Math.floor(k / EVERY);
    return events !== "none" && turn > 0 && k === this.regular(turn) ? events.slice(0, -1) : "";
  }

  /** When the event of each 60 samples is: not at the same place, or it would keep step with the signal. */
  regular(turn) {
    return turn * EVERY + Math.floor(30 * uniform(this.settings.seed, turn, 3));
  }

  /** Every column at sample k; without one event, where its sample is given. */
  at(k, without = -1) {
    const { noise, gain, frequency, drift, events, seed } = this.settings;
    const row = this.row(k * frequency).slice();
    if (this.drawn.has(k)) {
      row[0] = this.drawn.get(k);
      return row;
    }
    let moved = drift * k / 100 + noise * gauss(seed, k);
    const turn = Math.floor(k / EVERY), at = this.regular(turn);
    if (events === "spikes" && turn > 0 && k === at && at !== without) moved += turn % 2 ? SPIKE : -SPIKE;
    if (events === "jumps") {
      // up and down in turn
      const passed = k >= at ? turn : turn - 1;
      if (passed > 0 && passed % 2) moved += JUMP;
      if (without >= 0 && this.regular(Math.floor(without / EVERY)) === without && k >= without) {
        moved += Math.floor(without / EVERY) % 2 ? -JUMP : JUMP;
      }
    }
    for (const [start, sign] of this.jumps) if (k >= start && start !== without) moved += sign * JUMP;
    if (this.spikes.has(k) && k !== without) moved += this.spikes.get(k) * SPIKE;
    row[0] = this.mean + gain * (row[0] - this.mean) + moved * this.deviation;
    return row;
  }

  /** Next in turn: up, down, up, ... */
  sign(events) {
    return events.size % 2 ? -1 : 1;
  }
}
