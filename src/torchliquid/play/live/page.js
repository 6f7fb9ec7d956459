// The controls, the loop, and what is drawn: all that touches the document.
import { fromAddress, toAddress } from "./address.js";
import { DASHES, Plot, short, tick } from "./draw.js";
import { AFTER, BEFORE, Runner } from "./runner.js";
import { EVENTS, SETTINGS, Signal } from "./signal.js";

const PAST = 200, FUTURE = 60; // samples that are shown

/** Starts the page in an element that the template made; data and models are as the page holds them. */
export function start(root, data, models) {
  const find = (name) => root.querySelector(`[data-live="${name}"]`);
  const signal = new Signal(data.base);
  const runner = new Runner(models, signal);
  const networks = runner.nets.filter((one) => one.model.layers.length);
  const [liquid] = runner.nets.filter((one) => one.tau);
  const view = { speed: 20, paused: matchMedia("(prefers-reduced-motion: reduce)").matches, at: -1 };
  const plots = Object.fromEntries(
    ["signal", "error", "tau", "neurons", "response", "states"]
      .filter((name) => find(name)).map((name) => [name, new Plot(find(name))]));
  let style, clock = 0, owed = 0, dirty = true, written = "", tool = "draw", told = 0, events;

  function readStyle() {
    const own = getComputedStyle(root);
    const colour = (name) => own.getPropertyValue(`--${name}`).trim();
    style = Object.fromEntries(["ink", "soft", "rule", "paper", "blue", "orange", "green", "pink", "gold"]
      .map((name) => [name, colour(name)]));
    style.font = own.fontFamily;
    dirty = true;
  }
  const colourOf = (k) => style[["blue", "orange", "green", "pink", "gold"][k % 5]];

  // controls

  const inputs = {};
  for (const [name, { label, min, max, step, unit }] of Object.entries(SETTINGS)) {
    const row = document.createElement("label"), words = document.createElement("span");
    const range = document.createElement("input"), value = document.createElement("output");
    words.textContent = label;
    Object.assign(range, { type: "range", min, max, step, name });
    range.setAttribute("aria-label", `${label}, ${unit}`);
    row.append(words, range, value);
    row.title = unit;
    find("settings").append(row);
    inputs[name] = { range, value };
    range.addEventListener("input", () => {
      signal.settings[name] = Number(range.value);
      show();
    });
  }
  for (const [value, words] of Object.entries(EVENTS)) find("events").append(new Option(words, value));
  find("events").addEventListener("change", (event) => {
    signal.settings.events = event.target.value;
    show();
  });
  find("speed").addEventListener("input", (event) => {
    view.speed = Number(event.target.value);
    show();
  });

  /** What the settings are, in the controls and in the address. */
  function show() {
    for (const [name, { range, value }] of Object.entries(inputs)) {
      range.value = signal.settings[name];
      value.textContent = tick(signal.settings[name], 0.05).replace(/\.?0+$/, "") || "0";
    }
    find("events").value = signal.settings.events;
    find("speed").value = view.speed;
    find("speed-value").textContent = `${view.speed}`;
    find("pause").textContent = view.paused ? "Run" : "Pause";
    view.at = runner.k;
    const address = toAddress(signal, view);
    if (address !== written) {
      written = address;
      try {
        history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
      } catch { /* a page in a frame may have no address */ }
    }
    dirty = true;
    wake();
  }

  function open() {
    const found = fromAddress(location.hash, signal);
    Object.assign(view, { speed: found.speed, paused: found.paused || view.paused });
    runner.reset();
    runner.run(found.at >= 0 ? found.at + 1 : PAST + 1);
    show();
  }

  const acts = {
    pause() { view.paused = !view.paused; },
    step() { view.paused = true; runner.step(); },
    rest() { runner.rest(); },
    restart() { runner.reset(); runner.run(PAST + 1); },
    spike() { signal.spikes.set(runner.k + 1, signal.sign(signal.spikes)); },
    jump() { signal.jumps.set(runner.k + 1, signal.sign(signal.jumps)); },
    remove() { for (let k = 1; k <= 10; k++) signal.deleted.add(runner.k + k); },
    undo() { signal.clear(); },
    async link() {
      try {
        await navigator.clipboard.writeText(location.href);
        find("said").textContent = "The link is copied.";
      } catch {
        find("said").textContent = "The link stands in the page's address.";
      }
    },
  };
  for (const [name, act] of Object.entries(acts)) {
    find(name)?.addEventListener("click", () => { act(); show(); tell(); });
  }
  const keys = { " ": "pause", ".": "step", s: "spike", j: "jump", d: "remove", r: "rest" };
  root.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const typing = /^(INPUT|SELECT|BUTTON|SUMMARY|A)$/.test(event.target.tagName);
    const act = keys[event.key];
    if (!plain || !act || (typing && (event.key === " " || event.target.tagName === "SELECT"))) return;
    event.preventDefault();
    acts[act]();
    show();
    tell();
  });

  // the finger: on what is coming

  for (const choice of root.querySelectorAll('input[name="live-tool"]')) {
    choice.addEventListener("change", () => {
      tool = choice.value;
      find("signal").dataset.tool = tool;
    });
  }
  let finger = null;
  const place = (event) => {
    const plot = plots.signal, box = find("signal").getBoundingClientRect();
    const k = plot.from + (event.clientX - box.left - plot.left) / (plot.width - plot.left) * (plot.to - plot.from);
    const part = (plot.bottom - (event.clientY - box.top)) / (plot.bottom - plot.top);
    return { k: Math.round(k), value: plot.low + part * (plot.high - plot.low) };
  };
  function bend(from, to) {
    const [a, b] = from.k <= to.k ? [from, to] : [to, from];
    for (let k = Math.max(a.k, runner.k + 1); k <= b.k; k++) {
      if (tool === "delete") signal.deleted.add(k);
      else {
        const part = b.k === a.k ? 1 : (k - a.k) / (b.k - a.k);
        signal.drawn.set(k, a.value + part * (b.value - a.value));
      }
    }
    dirty = true;
    wake();
  }
  find("signal").addEventListener("pointerdown", (event) => {
    if (event.button) return;
    find("signal").setPointerCapture(event.pointerId);
    finger = place(event);
    bend(finger, finger);
  });
  find("signal").addEventListener("pointermove", (event) => {
    if (!finger) return;
    const next = place(event);
    bend(finger, next);
    finger = next;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    find("signal").addEventListener(name, () => {
      if (!finger) return;
      finger = null;
      show();
    });
  }

  // drawing

  function frame(time) {
    sleeping = false;
    const running = !view.paused && !document.hidden;
    if (running && clock) owed += Math.min(time - clock, 100) / 1000 * view.speed;
    clock = running ? time : 0;
    if (owed >= 1) {
      runner.run(Math.floor(owed));
      owed -= Math.floor(owed);
      forget();
    }
    if (running || dirty) draw(view.paused ? 0 : owed);
    if (running && (time - told > 2000 || liquid?.responses.length !== events)) {
      told = time;
      events = liquid?.responses.length;
      numbers();
    }
    if (running) wake();
  }
  let sleeping = false;
  function wake() {
    if (!sleeping) {
      sleeping = true;
      requestAnimationFrame(frame);
    }
  }

  /** What has passed out of sight is not kept, so an address does not grow for ever. */
  function forget() {
    const old = runner.k - runner.length;
    for (const kept of [signal.deleted, signal.drawn, signal.spikes]) {
      for (const k of kept.keys()) if (k < old) kept.delete(k);
    }
  }

  const span = (value, from, to, ends = [Infinity, -Infinity]) => {
    for (let k = Math.max(0, from); k <= to; k++) {
      const v = value(k);
      if (Number.isFinite(v)) ends = [Math.min(ends[0], v), Math.max(ends[1], v)];
    }
    return ends[0] <= ends[1] ? ends : [0, 1];
  };

  let range = null;
  function draw(part) {
    dirty = false;
    const k = runner.k, now = k + part, from = now - PAST, to = now + FUTURE;
    const past = Math.ceil(from), coming = Math.floor(to);
    const value = (at) => (at < 0 ? NaN : at <= k ? runner.input.at(at) : signal.at(at)[0]);
    const truth = (at) => (signal.deleted.has(at) ? NaN : value(at));
    const hidden = (at) => (signal.deleted.has(at) ? value(at) : NaN);
    const { horizon } = data.base;
    const told = (one) => (at) => one.output.at(at - horizon);

    let plot = plots.signal;
    plot.begin(style);
    let ends = span(value, past, coming);
    for (const one of runner.nets) ends = span(told(one), past + horizon, k + horizon, ends);
    // the scale follows slowly, so that the plot does not jump
    range = range && finger === null && part ? range.map((v, i) => v + 0.08 * (ends[i] - v)) : finger && range ? range : ends;
    plot.axes(from, to, Math.min(range[0], ends[0]), Math.max(range[1], ends[1]));
    if (finger) plot.axes(from, to, range[0], range[1]);
    plot.band(now, to, style.rule + "66");
    plot.grid();
    for (const at of signal.deleted) {
      if (at >= past && at <= coming) plot.band(at - 0.5, at + 0.5, style.pink + "40");
    }
    plot.line(truth, past, coming, style.soft, { width: 1.5 });
    plot.line(hidden, past, coming, style.soft, { width: 1.5, dash: [1, 4] });
    runner.nets.forEach((one, n) => plot.line(told(one), Math.max(past, horizon), k + horizon, colourOf(n), { dash: DASHES[n % 4] }));
    for (let at = past; at <= coming; at++) if (at >= 0 && signal.event(at)) plot.mark(at, style.ink);
    plot.now(now, "now");
    if (plot.width > 850) plot.text("what is coming: bend it", plot.width - 6, plot.top + 6, "right");

    plot = plots.error;
    plot.begin(style);
    ends = [0, 0];
    for (const one of runner.nets) ends = span((at) => one.rmsAt.at(at), past, k, ends);
    plot.axes(from, to, ends[0], ends[1] || 1);
    plot.low = 0;
    plot.grid();
    runner.nets.forEach((one, n) => plot.line((at) => one.rmsAt.at(at), past, k, colourOf(n), { dash: DASHES[n % 4] }));
    plot.now(now);

    if (liquid) drawTau(from, to, past, k, now);
    if (plots.states) drawStates(from, to, past, k, now);
  }

  function drawTau(from, to, past, k, now) {
    const middle = runner.median(liquid), share = (at) => 100 * liquid.mean.at(at) / middle;
    let plot = plots.tau;
    plot.begin(style);
    const ends = span(share, past, k, [98, 102]);
    plot.axes(from, to, ...ends);
    plot.grid((v, step) => `${tick(v, step)}%`);
    for (let at = past; at <= k; at++) if (at >= 0 && signal.event(at)) plot.mark(at, style.ink);
    plot.line(share, past, k, style.blue);
    plot.now(now);

    plot = plots.neurons;
    plot.begin(style);
    plot.axes(from, to, 0, 1);
    const bounds = liquid.model.layers.flatMap((layer) => layer.tau || Array(layer.neurons).fill(null));
    const lane = plot.height / bounds.length, inner = Math.max(2, lane - 3);
    bounds.forEach((pair, n) => {
      const bottom = (n + 1) * lane - 1.5;
      const [low, high] = pair || span((at) => Math.log(liquid.tau.at(at, n)), past, k);
      const value = pair ? (at) => liquid.tau.at(at, n) : (at) => Math.log(liquid.tau.at(at, n));
      plot.band(from, now, style.rule + "55", bottom - inner, bottom);
      const y = (v) => bottom - Math.min(1, Math.max(0, (v - low) / (high - low || 1))) * inner;
      plot.line(value, past, k, style.blue, { width: 1.5, y });
      if (lane < 10) return;
      plot.text(`${n + 1}`, 0, bottom - inner / 2);
      if (pair && lane >= 24) {
        plot.text(short(high), plot.left - 4, bottom - inner + 6, "right");
        plot.text(short(low), plot.left - 4, bottom - 5, "right");
      }
    });
    plot.now(now);

    plot = plots.response;
    plot.begin(style);
    const mean = runner.response(liquid);
    const shares = liquid.responses.flat();
    plot.axes(-BEFORE, AFTER - 1, Math.min(99, ...shares), Math.max(101, ...shares));
    plot.grid((v, step) => `${tick(v, step)}%`);
    for (const one of liquid.responses) plot.line((at) => one[at + BEFORE], -BEFORE, AFTER - 1, style.rule, { width: 1 });
    if (mean) plot.line((at) => mean[at + BEFORE], -BEFORE, AFTER - 1, style.blue);
    plot.now(0, "event");
  }

  function drawStates(from, to, past, k, now) {
    const plot = plots.states;
    plot.begin(style);
    const height = plot.height / networks.length;
    networks.forEach((one, n) => {
      plot.axes(from, to, 0, 1);
      const shown = one.model.layers.reduce((sum, layer) => sum + layer.neurons, 0);
      let ends = [Infinity, -Infinity];
      for (let j = 0; j < shown; j++) {
        const own = span((at) => one.states.at(at, j), past, k);
        ends = [Math.min(ends[0], own[0]), Math.max(ends[1], own[1])];
      }
      const bottom = (n + 1) * height - 4, inner = height - 12;
      const y = (v) => bottom - (v - ends[0]) / (ends[1] - ends[0] || 1) * inner;
      for (let j = 0; j < shown; j++) {
        plot.line((at) => one.states.at(at, j), past, k, colourOf(runner.nets.indexOf(one)), { width: 1, y });
      }
      plot.text(short(ends[1]), plot.left - 6, bottom - inner + 5, "right");
      plot.text(short(ends[0]), plot.left - 6, bottom - 5, "right");
    });
    plot.now(now);
  }

  /** The same in words and numbers, for those who do not see the curves. */
  function numbers() {
    runner.nets.forEach((one, n) => {
      find(`error-${n}`).textContent = short(runner.rms(one));
    });
    if (!liquid) return;
    const mean = runner.response(liquid);
    const most = (mean || []).reduce((a, b) => (Math.abs(b - 100) > Math.abs(a - 100) ? b : a), 100);
    const count = liquid.responses.length, late = mean ? mean.indexOf(most) - BEFORE : 0;
    const shares = liquid.responses.flat();
    find("answer").textContent = mean
      ? `${count === 1 ? "At one event" : `On the average of ${count} events`} it ${most < 100 ? "fell" : "rose"} by ${short(Math.abs(most - 100))} %${late > 0 ? `, ${late} samples later` : ""}; single ones lie between ${short(Math.min(...shares))} and ${short(Math.max(...shares))} %.`
      : "None has passed yet: press Spike or Jump.";
  }
  function tell() {
    numbers();
    const k = runner.k, parts = runner.nets.map((one) => `${one.name} error ${short(runner.rms(one))}`);
    if (liquid) parts.push(`mean time constant ${short(100 * liquid.mean.at(k) / runner.median(liquid))} % of its median`);
    if (view.paused) find("said").textContent = `Sample ${k}. ${parts.join(", ")}.`;
  }

  const neurons = liquid ? liquid.net.tau.length : 0;
  if (liquid) find("neurons").style.height = `${neurons * Math.max(6, Math.min(28, 320 / neurons))}px`;
  find("states").style.height = `${networks.length * 90}px`;
  readStyle();
  open();
  numbers();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readStyle(); wake(); });
  addEventListener("resize", () => { dirty = true; wake(); });
  addEventListener("beforeprint", () => { readStyle(); draw(0); });
  // a page's own anchors are no settings
  addEventListener("hashchange", () => {
    if (location.hash.includes("=") && location.hash.slice(1) !== written) open();
  });
  document.addEventListener("visibilitychange", () => { clock = 0; wake(); });
  return { runner, signal, view, acts, show };
}
