// The chart in its box: made for the first candles, moved by keys and buttons.

import { Chart } from "./chart.js";
import { h } from "./dom.js";

const BARS_SEEN = 120, PHONE_BARS_SEEN = 55;
const CLOSER = 0.7, FARTHER = 1.4; // factors of a zoom
const STEP = 10; // buckets that an arrow key moves

export class Panel {
  /** `onHover` as of `Chart`; `onRange(range)`: the reader moved the chart; `onNewest()`: to the newest candle. */
  constructor({ onHover, onRange, onNewest }) {
    this.onHover = onHover; // called when the crosshair moves
    this.onRange = onRange; // called when the reader moves the chart
    this.onNewest = onNewest; // called when the reader moves it to the newest candle
    this.chart = null; // made when there is something to draw
    this.isDrawing = false; // the range changes because of us, not because of the reader
    this.box = h("div", {
      class: "chart", tabindex: 0, role: "img", id: "chart", onkeydown: event => this.press(event),
    }); // contains the chart
  }

  buttons() {
    const button = (text, label, id, onclick) =>
      h("button", { type: "button", class: "button", id, onclick, "aria-label": label }, text);
    return [
      button("Newest", "To the newest candle", "newest", () => this.toNewest()),
      button("+", "Zoom in", null, () => this.chart?.zoom(CLOSER)),
      button("−", "Zoom out", null, () => this.chart?.zoom(FARTHER)),
    ];
  }

  press(event) {
    const act = {
      ArrowLeft: () => this.chart.pan(-STEP), ArrowRight: () => this.chart.pan(STEP),
      "+": () => this.chart.zoom(CLOSER), "-": () => this.chart.zoom(FARTHER), End: () => this.toNewest(),
    }[event.key];
    if (!act || !this.chart) return;
    event.preventDefault();
    act();
  }

  /** Draw a series that is not empty; the first time, with the range of the link, else with the newest candles. */
  draw(series, link) {
    this.chart ??= new Chart(this.box, this.onHover, range => { if (!this.isDrawing) this.onRange(range); });
    this.isDrawing = true;
    this.chart.show(series.buckets(), [...series.values.values()].sort((a, b) => a.start - b.start), series.alerts);
    if (!series.isDrawn) this.fit(series.candles.first, link.takeRange());
    this.isDrawing = false;
  }

  fit(first, range) {
    if (range && range.to >= first) this.chart.see(Math.max(range.from, first), range.to);
    else this.seeNewest();
  }

  /** Redraw only the buckets of these candles; false if they are not all in the chart. */
  update(candles) {
    const newest = this.chart.buckets.at(-1).start;
    if (candles.some(({ start }) => start > newest)) return false;
    this.chart.update(candles);
    return true;
  }

  /** The visible range in UNIX seconds, or null if the newest candle is visible. */
  rangeBefore() {
    const seen = this.chart.seen();
    return seen && seen.to < this.chart.buckets.at(-1).start ? seen : null;
  }

  toNewest() {
    if (!this.chart) return;
    this.seeNewest();
    this.onNewest();
  }

  seeNewest() {
    this.chart.seeNewest(innerWidth < 700 ? PHONE_BARS_SEEN : BARS_SEEN);
  }

  /** Describe what is drawn, for readers who do not see it. */
  describe(text) {
    this.box.setAttribute("aria-label", `${text} Arrow keys move, plus and minus zoom.`);
  }
}
