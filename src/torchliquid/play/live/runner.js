// Networks on a signal, sample by sample; what they did last is kept in rings.

export const BEFORE = 5, AFTER = 30; // samples about an event
const TWINS = 10;

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

class Ring {
  constructor(length, width = 1) {
    this.length = length;
    this.width = width;
    this.values = new Float64Array(length * width).fill(NaN);
  }

  set(k, values) {
    this.values.set(values, (k % this.length) * this.width);
  }

  at(k, column = 0) {
    return k < 0 ? NaN : this.values[(k % this.length) * this.width + column];
  }
}

export class Runner {
  /** models: {name, model, create, columns, timed}; columns say which of the signal's it sees. */
  constructor(models, signal, { length = 400, window = 100 } = {}) {
    this.signal = signal;
    this.length = length;
    this.window = window;
    this.nets = models.map((one) => ({ ...one, net: one.create() }));
    this.reset();
  }

  /** Back to the first sample, at rest. */
  reset() {
    this.k = -1;
    this.missing = 0;
    this.seen = null;
    this.twins = [];
    this.input = new Ring(this.length);
    for (const one of this.nets) {
      one.net.reset();
      one.output = new Ring(this.length);
      one.states = new Ring(this.length, one.net.state.length);
      one.tau = one.net.tau ? new Ring(this.length, one.net.tau.length) : null;
      one.mean = new Ring(this.length);
      one.error = new Ring(this.length);
      one.rmsAt = new Ring(this.length);
      one.last = NaN;
      one.responses = [];
    }
  }

  /** States to zero; the signal goes on. */
  rest() {
    for (const one of this.nets) one.net.reset();
    this.missing = 0;
    this.twins = []; // they had another past
  }

  run(samples) {
    for (let left = samples; left > 0; left--) this.step();
  }

  step() {
    const k = ++this.k, { signal } = this, { horizon } = signal.base;
    const row = signal.at(k), deleted = signal.deleted.has(k) && this.seen !== null;
    if (signal.event(k)) this.split(k);
    if (deleted) this.missing += 1;
    else this.seen = row;
    this.input.set(k, [row[0]]);
    for (const one of this.nets) {
      this.advance(one, one.net, this.seen, deleted);
      one.last = one.net.output[0];
      one.output.set(k, [one.last]);
      one.states.set(k, one.net.state);
      if (one.tau) {
        one.tau.set(k, one.net.tau);
        one.mean.set(k, [mean(one.net.tau)]);
      }
      one.error.set(k, [horizon === null ? NaN : row[0] - one.output.at(k - horizon)]);
      one.rmsAt.set(k, [this.rms(one, k)]);
    }
    this.compare(k, deleted);
    if (!deleted) this.missing = 0;
  }

  /** A network that knows time waits for a sample, and is told how long; another sees the last one again. */
  advance(one, net, row, deleted) {
    if (deleted && one.timed) return;
    const inputs = one.columns.map((c) => (c < 0 ? NaN : row[c]));
    if (one.timed) net.step(inputs, one.dt * (1 + this.missing));
    else net.step(inputs);
  }

  /** At an event each network whose time constants move gets a twin, which does not see the event. */
  split(event) {
    for (const one of this.nets) {
      if (!one.tau) continue;
      const net = one.create();
      net.state.set(one.net.state);
      net.tau.set(one.net.tau);
      this.twins.push({ one, event, net, seen: this.seen, shares: Array(BEFORE).fill(100) });
    }
  }

  /** The twins' sample; what an event did is the mean time constant in per cent of the twin's. */
  compare(k, deleted) {
    for (const twin of this.twins) {
      if (!deleted) twin.seen = this.signal.at(k, twin.event);
      this.advance(twin.one, twin.net, twin.seen || this.seen, deleted);
      twin.shares.push(100 * mean(twin.one.net.tau) / mean(twin.net.tau));
      if (twin.shares.length < BEFORE + AFTER) continue;
      twin.one.responses.push(twin.shares);
      if (twin.one.responses.length > TWINS) twin.one.responses.shift();
    }
    this.twins = this.twins.filter((twin) => twin.shares.length < BEFORE + AFTER);
  }

  /** Root mean square of an error over the last samples. */
  rms(one, k = this.k) {
    let sum = 0, count = 0;
    for (let at = Math.max(0, k - this.window + 1); at <= k; at++) {
      const off = one.error.at(at);
      if (Number.isFinite(off)) {
        sum += off * off;
        count += 1;
      }
    }
    return count ? Math.sqrt(sum / count) : NaN;
  }

  /** The average of the last ten, or nothing. */
  response(one) {
    const { responses } = one;
    if (!responses.length) return null;
    return responses[0].map((_, k) => responses.reduce((sum, r) => sum + r[k], 0) / responses.length);
  }

  /** The median of the mean time constant over what is kept. */
  median(one) {
    const kept = [];
    for (let k = Math.max(0, this.k - this.length + 1); k <= this.k; k++) kept.push(one.mean.at(k));
    kept.sort((a, b) => a - b);
    return kept.length ? kept[kept.length >> 1] : NaN;
  }
}
