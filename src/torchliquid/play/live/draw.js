// Plots on canvases. Time runs to the right: what was, a line that says now, and what is coming.

export const DASHES = [[], [7, 3], [2, 2], [7, 2, 2, 2]];

/** A canvas as large as it is shown, in the device's pixels; colours are the page's own. */
export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  begin(style) {
    const { canvas, context } = this, ratio = Math.min(devicePixelRatio || 1, 2);
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    const [w, h] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = `12px ${style.font}`;
    context.lineJoin = "round";
    this.style = style;
    this.top = 6;
    this.bottom = this.height - 6;
  }

  /** Samples from..to along the width; the least and the largest value from bottom to top. */
  axes(from, to, low, high) {
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    Object.assign(this, { from, to, low: low - pad, high: high + pad, left: 52 });
  }

  x(k) {
    return this.left + (k - this.from) / (this.to - this.from) * (this.width - this.left);
  }

  y(value) {
    return this.bottom - (value - this.low) / (this.high - this.low) * (this.bottom - this.top);
  }

  /** Round values between the ends, with lines. */
  grid(format = tick) {
    const { context, style } = this, span = this.high - this.low;
    const step = niceStep(span / Math.max(3, Math.floor((this.bottom - this.top) / 34)));
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let v = Math.ceil(this.low / step) * step; v <= this.high; v += step) {
      this.rule(this.y(v));
      context.fillStyle = style.soft;
      context.fillText(format(v, step), this.left - 6, this.y(v));
    }
  }

  rule(y) {
    const { context } = this;
    context.strokeStyle = this.style.rule;
    context.lineWidth = 1;
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(this.left, y);
    context.lineTo(this.width, y);
    context.stroke();
  }

  /** A curve of value(k); a gap where there is none. */
  line(value, from, to, colour, { width = 2, dash = [], y = (v) => this.y(v) } = {}) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    let open = false;
    for (let k = Math.ceil(from); k <= to; k++) {
      const v = value(k);
      if (Number.isFinite(v)) {
        if (open) context.lineTo(this.x(k), y(v));
        else context.moveTo(this.x(k), y(v));
      }
      open = Number.isFinite(v);
    }
    context.stroke();
    context.setLineDash([]);
  }

  now(k, label = "") {
    const { context, style } = this, x = this.x(k);
    context.strokeStyle = style.soft;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, this.height);
    context.stroke();
    if (label) this.text(label, x + 4, this.top + 6, "left");
  }

  mark(k, colour) {
    const { context } = this, x = this.x(k);
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(x - 4, this.height);
    context.lineTo(x + 4, this.height);
    context.lineTo(x, this.height - 7);
    context.fill();
  }

  text(words, x, y, align = "left", colour = this.style.soft) {
    const { context } = this;
    context.fillStyle = colour;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillText(words, x, y);
  }

  band(from, to, colour, top = 0, bottom = this.height) {
    const { context } = this;
    context.fillStyle = colour;
    context.fillRect(this.x(from), top, this.x(to) - this.x(from), bottom - top);
  }
}

export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough * 0.999);
}

export function tick(value, step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const text = value.toFixed(Math.min(digits, 6));
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

/** Three digits that matter. */
export function short(value) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  const text = size && (size < 1e-3 || size >= 1e5) ? value.toExponential(1) : `${+value.toPrecision(3)}`;
  return text.replace("-", "\u2212");
}
