// The parts that need no page, by Node.js's own test runner: node --test tests/play/live.test.js
import assert from "node:assert/strict";
import test from "node:test";
import { fromAddress, toAddress } from "../../src/torchliquid/play/live/address.js";
import { niceStep, short, tick } from "../../src/torchliquid/play/live/draw.js";
import { AFTER, BEFORE, Runner } from "../../src/torchliquid/play/live/runner.js";
import { gauss, SETTINGS, Signal } from "../../src/torchliquid/play/live/signal.js";

const wave = Array.from({ length: 101 }, (_, k) => [Math.sin(k / 5), k]);
const quiet = (base = { rows: wave, horizon: 1 }) => {
  const signal = new Signal(base);
  signal.settings.events = "none";
  return signal;
};

test("the base runs forwards and back, without a jump", () => {
  const signal = quiet();
  for (let k = 0; k < 350; k++) {
    const at = k % 200, row = at > 100 ? 200 - at : at;
    assert.equal(signal.at(k)[1], wave[row][1]);
    assert.ok(Math.abs(signal.at(k)[0] - wave[row][0]) < 1e-12);
  }
});

test("one row is a constant", () => {
  assert.deepEqual(quiet({ rows: [[3]], horizon: 1 }).at(17), [3]);
});

test("every setting changes the signal, and the same settings give the same one", () => {
  const plain = quiet();
  for (const name of Object.keys(SETTINGS)) {
    const signal = quiet(), again = quiet();
    signal.settings[name] = again.settings[name] = name === "gain" ? 2 : 0.5;
    const values = (s) => Array.from({ length: 50 }, (_, k) => s.at(k + 1)[0]);
    assert.notDeepEqual(values(signal), values(plain), name);
    assert.deepEqual(values(signal), values(again), name);
  }
});

test("noise is normal and white, and another seed is another noise", () => {
  const values = Array.from({ length: 20000 }, (_, k) => gauss(1, k));
  const mean = values.reduce((a, b) => a + b) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  const next = values.slice(1).reduce((a, b, k) => a + b * values[k], 0) / values.length;
  assert.ok(Math.abs(mean) < 0.03 && Math.abs(variance - 1) < 0.05 && Math.abs(next) < 0.03);
  assert.ok(Math.max(...values) < 6);
  assert.notEqual(gauss(2, 5), gauss(1, 5));
});

test("a spike is one sample, a jump stays, and without them neither is there", () => {
  const signal = quiet(), plain = quiet();
  signal.spikes.set(20, 1);
  signal.jumps.set(40, -1);
  for (let k = 0; k < 60; k++) {
    const off = (signal.at(k)[0] - plain.at(k)[0]) / signal.deviation;
    assert.ok(Math.abs(off - (k === 20 ? 2.5 : k >= 40 ? -1.5 : 0)) < 1e-12, `${k}: ${off}`);
    assert.equal(signal.event(k), { 20: "spike", 40: "jump" }[k] || "");
    if (k !== 40) assert.equal(signal.at(k, 20)[0] === plain.at(k)[0], k < 40);
  }
  assert.ok(Math.abs(signal.at(50, 40)[0] - plain.at(50)[0]) < 1e-12);
});

test("regular events come, one in 60 samples, and a signal without one has none there", () => {
  for (const kind of ["spikes", "jumps"]) {
    const signal = quiet(), plain = quiet();
    signal.settings.events = kind;
    const found = Array.from({ length: 600 }, (_, k) => k).filter((k) => signal.event(k));
    assert.equal(found.length, 9);
    const moved = (k, without) => Math.abs(signal.at(k, without)[0] - plain.at(k)[0]) > 1e-9;
    for (const [n, k] of found.entries()) {
      const level = signal.at(k - 1)[0] - plain.at(k - 1)[0];
      // an event changes the level; without it the level stays as it was
      assert.ok(Math.abs(signal.at(k)[0] - plain.at(k)[0] - level) > 1);
      for (let at = k; at < Math.min(k + 20, 600); at++) {
        assert.ok(Math.abs(signal.at(at, k)[0] - plain.at(at)[0] - level) < 1e-9, `${kind} ${n}`);
      }
    }
    assert.ok(moved(found[0], -1));
  }
});

test("what is drawn stands as it was drawn", () => {
  const signal = quiet();
  Object.assign(signal.settings, { noise: 1, gain: 2, drift: 1 });
  signal.drawn.set(30, 0.25);
  assert.equal(signal.at(30)[0], 0.25);
  assert.notEqual(signal.at(31)[0], 0.25);
});

test("an address gives back all that it was made of", () => {
  const signal = quiet();
  Object.assign(signal.settings, { noise: 0.3, gain: 2, frequency: 0.5, drift: -0.2, seed: 7, events: "jumps" });
  for (const k of [3, 4, 5, 9]) signal.deleted.add(k);
  signal.drawn.set(12, -0.5).set(13, 1.25);
  signal.spikes.set(7, 1).set(8, -1);
  signal.jumps.set(21, -1);
  const view = { speed: 60, paused: true, at: 345 };
  const text = toAddress(signal, view), other = quiet();
  assert.deepEqual(fromAddress(`#${text}`, other), view);
  assert.deepEqual(other.settings, signal.settings);
  for (const name of ["deleted", "drawn", "spikes", "jumps"]) assert.deepEqual(other[name], signal[name]);
  assert.match(text, /deleted=3-5.9/);
});

test("the address of a page as it opens is empty", () => {
  assert.equal(toAddress(new Signal({ rows: wave, horizon: 1 }), { speed: 20, paused: false }), "");
});

test("what an address cannot mean is left out", () => {
  const signal = quiet();
  const odd = "#noise=99&gain=x&frequency=NaN&drift=-Infinity&events=__proto__&seed=-4&speed=1e9&"
    + "spikes=a.~-3.1e99&deleted=5-1.-2.0-99999999&drawn=5_x 6_1e400 -1_2&at=-7&other=%3Cb%3E";
  const view = fromAddress(odd, signal);
  assert.deepEqual(view, { speed: 200, paused: true, at: -1 });
  assert.equal(signal.settings.noise, 1);
  assert.equal(signal.settings.gain, 1);
  assert.equal(signal.settings.frequency, 1);
  assert.equal(signal.settings.events, "spikes");
  assert.equal(signal.drawn.size, 0);
  assert.ok(signal.deleted.size <= 2001);
  for (let k = 0; k < 100; k++) assert.ok(Number.isFinite(signal.at(k)[0]));
});

/** A leaky sum whose time constant is 1 + |u|. */
const leaky = (timed) => ({
  name: "leaky", timed, columns: [0], dt: 0.5,
  model: { layers: [{ cell: "leaky", neurons: 1, tau: [[1, 4]] }] },
  create() {
    const state = new Float64Array(1), output = new Float64Array(1), tau = new Float64Array(1);
    return {
      state, output, tau, steps: [],
      reset() { state.fill(0); },
      step(u, dt = 0.5) {
        this.steps.push([u[0], dt]);
        tau[0] = 1 + Math.abs(u[0]);
        state[0] += dt * (u[0] - state[0]) / tau[0];
        output[0] = state[0];
        return output;
      },
    };
  },
});

test("of deleted samples one network hears the time, another the last value again", () => {
  const signal = quiet();
  signal.deleted.add(3).add(4);
  const runner = new Runner([leaky(true), leaky(false)], signal);
  runner.run(7);
  const [knows, repeats] = runner.nets.map((one) => one.net.steps);
  assert.deepEqual(knows.map(([, dt]) => dt), [0.5, 0.5, 0.5, 1.5, 0.5]);
  assert.deepEqual(repeats.map(([u]) => u).slice(2, 5), Array(3).fill(signal.at(2)[0]));
  assert.equal(runner.nets[0].output.at(4), runner.nets[0].output.at(2));
});

test("a first sample that is deleted is seen all the same: there is none before it", () => {
  const signal = quiet();
  signal.deleted.add(0);
  const runner = new Runner([leaky(true)], signal);
  runner.run(2);
  assert.ok(Number.isFinite(runner.nets[0].last));
});

test("errors compare what was said with what came", () => {
  const runner = new Runner([leaky(false)], quiet({ rows: wave, horizon: 3 }), { window: 5 });
  runner.run(30);
  const [one] = runner.nets;
  let sum = 0;
  for (let k = 25; k < 30; k++) sum += (wave[k][0] - one.output.at(k - 3)) ** 2;
  assert.ok(Math.abs(runner.rms(one) - Math.sqrt(sum / 5)) < 1e-9);
});

test("a twin that did not see the event shows what the event alone did", () => {
  const signal = quiet();
  signal.spikes.set(50, 1);
  const runner = new Runner([leaky(true)], signal);
  runner.run(50 + AFTER);
  const [one] = runner.nets;
  assert.equal(one.responses.length, 1);
  const shares = runner.response(one), plain = wave[50][0];
  assert.deepEqual(shares.slice(0, BEFORE), Array(BEFORE).fill(100));
  const expected = 100 * (1 + Math.abs(plain + 2.5 * signal.deviation)) / (1 + Math.abs(plain));
  assert.ok(Math.abs(shares[BEFORE] - expected) < 1e-9);
  // this one has no memory in its time constant
  for (const share of shares.slice(BEFORE + 1)) assert.ok(Math.abs(share - 100) < 1e-9);
  assert.equal(shares.length, BEFORE + AFTER);
});

test("the last ten events are kept, and a reset forgets them", () => {
  const signal = quiet();
  signal.settings.events = "spikes";
  const runner = new Runner([leaky(true)], signal);
  runner.run(1200);
  assert.equal(runner.nets[0].responses.length, 10);
  runner.rest();
  assert.equal(runner.nets[0].net.state[0], 0);
  runner.reset();
  assert.equal(runner.response(runner.nets[0]), null);
  assert.ok(Number.isNaN(runner.median(runner.nets[0])));
});

test("numbers are short, steps are round", () => {
  assert.equal(short(0.012345), "0.0123");
  assert.equal(short(-1234.5), "\u22121230");
  assert.equal(short(NaN), "\u2013");
  assert.equal(short(0), "0");
  assert.equal(tick(-0.3, 0.1), "\u22120.3");
  assert.equal(tick(-1e-17, 0.1), "0.0");
  assert.deepEqual([0.03, 0.2, 3, 70].map(niceStep), [0.05, 0.2, 5, 100]);
});
