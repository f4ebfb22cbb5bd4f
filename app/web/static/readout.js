// The line above the chart: the bucket under the crosshair, else the newest.

import { isKnown, words } from "./candles.js";
import { h } from "./dom.js";
import { moment, points, price, volume } from "./format.js";

export class Readout {
  constructor() {
    this.hovered = null; // start of the bucket under the crosshair, or null
    this.element = h("div", { class: "readout", id: "readout" }); // the line
  }

  show(series) {
    const start = this.hovered ?? series.candles.last;
    if (start === null) { this.element.replaceChildren(); return; }
    const bucket = series.candles.by.get(start) ?? { start };
    const value = series.values.get(start) ?? (this.hovered ? undefined : [...series.values.values()].at(-1));
    this.element.replaceChildren(
      h("span", {}, `${moment(start)} UTC`),
      ...(isKnown(bucket) ? ofCandle(bucket) : []), ...(value ? ofValue(value) : []),
      ...words(bucket).map(text => h("span", { class: `tag ${tone(text, bucket)}` }, text)));
  }
}

const item = (name, text) => h("span", {}, h("span", { class: "dim" }, `${name} `), h("b", {}, text));

function ofCandle(candle) {
  return [
    item("O", price(candle.open)), item("H", price(candle.high)), item("L", price(candle.low)),
    item("C", price(candle.close)), item("Vol", volume(candle.volume)),
  ];
}

function ofValue(value) {
  return [
    item("MACD-V", points(value.macdv)), item("signal", points(value.signal)),
    item("hist", points(value.histogram)), ...(value.stage ? [item("stage", value.stage)] : []),
  ];
}

function tone(text, bucket) {
  if (text === "corrected") return "warn";
  return isKnown(bucket) ? "dim" : "bad";
}
