// The texts beside the chart: price, change and stage above; gaps, and what MACD-V rests on, below.

import { h, setText } from "./dom.js";
import { change, moment, points, price } from "./format.js";

export class Notes {
  constructor() {
    this.row = null; // the product's row of the overview, or null
    this.price = h("span", { class: "price" }); // the newest
    this.change = h("span"); // of 24 hours
    this.stage = h("span", { class: "dim" }); // with the newest MACD-V
    this.gaps = h("span", { id: "gaps", role: "status" }); // of the series
    this.rests = h("span", { id: "rests" }); // what the newest MACD-V rests on
  }

  /** Show the newest of the series. */
  show(series) {
    setText(this.price, price(series.newest?.close));
    setText(this.stage, stageText(series.indicators));
    setText(this.rests, restsText(series.indicators));
    this.showChange();
  }

  /** Show the change of 24 hours, as the overview has it: whatever timeframe is shown. */
  showChange() {
    const fraction = this.row?.change;
    setText(this.change, this.row ? `${change(fraction)} in 24 h` : "");
    this.change.className = fraction > 0 ? "up" : fraction < 0 ? "down" : "";
  }

  showGaps(series) {
    const gaps = series.gaps();
    setText(this.gaps, gapsText(gaps, series.timeframe.seconds));
    this.gaps.className = gaps.length ? "bad" : "";
  }

  /** What is shown, as a sentence. */
  get text() {
    return `price ${this.price.textContent}, ${this.stage.textContent}. ${this.gaps.textContent}.`;
  }
}

function stageText(indicators) {
  const value = indicators?.series.at(-1);
  return value ? `MACD-V ${points(value.macdv)} · ${value.stage ?? "no stage yet"}` : indicators?.reason ?? "";
}

function restsText(indicators) {
  if (!indicators?.ready) return indicators?.reason ?? "";
  const error = indicators.latest?.error;
  const exact = error === undefined ? "" : `, exact to ${error < 0.05 ? "0.1" : points(error)} points`;
  return `MACD-V rests on ${indicators.candles} candles${exact}`;
}

/** The number of gaps, and the newest three. */
function gapsText(gaps, step) {
  if (!gaps.length) return "No gaps";
  const newest = gaps.slice(-3).map(([a, b]) => (a === b ? moment(a) : `${moment(a)} – ${moment(b + step)}`));
  return `${gaps.length === 1 ? "1 gap" : `${gaps.length} gaps`}: ${newest.join(", ")}`;
}
