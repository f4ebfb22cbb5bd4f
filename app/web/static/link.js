// The address of a product's page: its timeframe and its visible range, so that a link shows the same.

import { ROOT } from "./api.js";

const MOVING_MS = 300; // after the last change of the range

/** The address of a product's page. */
export function productUrl(product, timeframe) {
  const query = timeframe ? `?${new URLSearchParams({ timeframe })}` : "";
  return `${ROOT}/product/${encodeURIComponent(product)}${query}`;
}

export class Link {
  /**
   * `seen()`: what is seen now, as `{timeframe, range}`; the range is null for the newest candles.
   * `onBack(timeframe)`: the reader went back or forward to an address with this timeframe.
   */
  constructor(seen, onBack) {
    const query = new URLSearchParams(location.search);
    this.seen = seen; // called for each new address
    this.timeframe = query.get("timeframe"); // name of the timeframe that the page was opened with, or null
    this.from = Number(query.get("from")); // start of the range that is to be shown next; 0: none
    this.to = Number(query.get("to")); // its end
    this.timer = 0; // of the address that is written soon
    addEventListener("popstate", () => this.back(onBack));
  }

  back(onBack) {
    const query = new URLSearchParams(location.search);
    if (query.has("from")) this.from = Number(query.get("from"));
    if (query.has("to")) this.to = Number(query.get("to"));
    onBack(query.get("timeframe"));
  }

  /** The range that is to be shown, as `{from, to}` in UNIX seconds, or null; it is returned once. */
  takeRange() {
    const { from, to } = this;
    this.from = 0;
    return from && to > from ? { from, to } : null;
  }

  /** Put what is seen into the address; `step`: as a step that the reader can go back. */
  write(step = false) {
    const { timeframe, range } = this.seen();
    const query = new URLSearchParams({ timeframe });
    if (range) { query.set("from", Math.round(range.from)); query.set("to", Math.round(range.to)); }
    const url = `?${query}`;
    if (url === location.search) return;
    if (step) history.pushState(null, "", url); else history.replaceState(null, "", url);
  }

  /** Write the address when the range no longer changes. */
  writeSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(), MOVING_MS);
  }
}
