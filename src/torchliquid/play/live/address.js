// Every setting in the page's address, so that an experiment is a link.
import { EVENTS, SETTINGS } from "./signal.js";

const ranges = (samples) => {
  const parts = [];
  for (const k of [...samples].sort((a, b) => a - b)) {
    const last = parts[parts.length - 1];
    if (last && last[1] === k - 1) last[1] = k;
    else parts.push([k, k]);
  }
  return parts.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(".");
};
const signed = (events) => [...events].map(([k, sign]) => (sign < 0 ? `~${k}` : `${k}`)).join(".");

/** The text behind the #. */
export function toAddress(signal, view) {
  const parts = new URLSearchParams();
  for (const [name, { value }] of Object.entries(SETTINGS)) {
    if (signal.settings[name] !== value) parts.set(name, signal.settings[name]);
  }
  if (signal.settings.events !== "spikes") parts.set("events", signal.settings.events);
  if (signal.settings.seed !== 1) parts.set("seed", signal.settings.seed);
  if (view.speed !== 20) parts.set("speed", view.speed);
  if (signal.spikes.size) parts.set("spikes", signed(signal.spikes));
  if (signal.jumps.size) parts.set("jumps", signed(signal.jumps));
  if (signal.deleted.size) parts.set("deleted", ranges(signal.deleted));
  if (signal.drawn.size) {
    parts.set("drawn", [...signal.drawn].map(([k, v]) => `${k}_${+v.toPrecision(4)}`).join(" "));
  }
  if (view.paused) parts.set("at", view.at);
  return parts.toString();
}

const number = (text, low, high, otherwise) => {
  const value = Number(text);
  return text !== null && text !== "" && Number.isFinite(value)
    ? Math.min(high, Math.max(low, value)) : otherwise;
};
const FARTHEST = 100000;
const sample = (text) => (/^\d{1,6}$/.test(text) && text <= FARTHEST ? Number(text) : -1);

/** Sets a signal as an address says; gives the view's part. What it cannot read it leaves out. */
export function fromAddress(text, signal) {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  const list = (name) => (parts.get(name) || "").split(name === "drawn" ? " " : ".").filter(Boolean);
  signal.clear();
  for (const [name, { min, max, value }] of Object.entries(SETTINGS)) {
    signal.settings[name] = number(parts.get(name), min, max, value);
  }
  signal.settings.events = Object.hasOwn(EVENTS, parts.get("events")) ? parts.get("events") : "spikes";
  signal.settings.seed = Math.floor(number(parts.get("seed"), 0, 1e6, 1));
  for (const name of ["spikes", "jumps"]) {
    for (const item of list(name)) {
      const k = sample(item.replace("~", ""));
      if (k >= 0) signal[name].set(k, item.startsWith("~") ? -1 : 1);
    }
  }
  for (const item of list("deleted")) {
    const [a, b = a] = item.split("-").map(sample);
    for (let k = a; a >= 0 && k <= Math.min(b, a + 2000); k++) signal.deleted.add(k);
  }
  for (const item of list("drawn")) {
    const [k, value] = item.split("_");
    if (sample(k) >= 0 && Number.isFinite(Number(value))) signal.drawn.set(sample(k), Number(value));
  }
  return {
    speed: number(parts.get("speed"), 1, 200, 20),
    paused: parts.has("at"),
    at: sample(parts.get("at")),
  };
}
