// The series of one timeframe: its candles, values and alerts, read from the API and from events.

import { fromAlert } from "./alert.js";
import { get } from "./api.js";
import { Candles, formingOf } from "./candles.js";

const BASE = { name: "5m", seconds: 300 }; // what the stream delivers: longer candles form from it
const PAGE = 500; // candles in one request
const MOST = 5000; // candles that a page holds
const CANDLE_KINDS = ["close", "correction", "forming"];

export class Series {
  /** `alertsPath`: of the API; undefined if the server has no alerts. */
  constructor(product, timeframe, clock, alertsPath) {
    this.product = product; // name of the product
    this.timeframe = timeframe; // its timeframe: `{name, seconds}`
    this.clock = clock; // the exchange's time
    this.alertsPath = alertsPath; // where its alerts are
    this.candles = new Candles(timeframe.seconds); // its candles
    this.short = new Candles(BASE.seconds); // 5m candles that the open bucket of a longer timeframe forms from
    this.values = new Map(); // values of the indicator, by start of the bucket
    this.indicators = null; // the newest answer about the indicator
    this.alerts = []; // alerts that still stand
    this.isWhole = false; // whether the oldest candle that there is has been fetched
    this.isDrawn = false; // whether the chart has drawn it
  }

  get isEmpty() { return this.candles.by.size === 0; }
  get hasOlder() { return !this.isWhole && this.candles.by.size < MOST; }

  /** The newest candle, or undefined. */
  get newest() { return this.candles.by.get(this.candles.last); }

  /** Every bucket up to the newest one that is due. */
  buckets() {
    return this.candles.buckets(this.clock.due(this.timeframe.seconds));
  }

  gaps() {
    return this.candles.gaps(this.clock.due(this.timeframe.seconds));
  }

  /** Filter of the stream for the events that change this series. */
  filter() {
    const timeframes = [...new Set([this.timeframe.name, BASE.name])].join(",");
    return { products: this.product, timeframes, kinds: "close,correction,indicator,alert,forming" };
  }

  /** Request the newest candles and values, for `take`. */
  async fetch() {
    const newest = { timeframe: this.timeframe.name, limit: PAGE };
    const answers = await Promise.all([
      this.getCandles(newest), get(`/v1/indicators/${encodeURIComponent(this.product)}`, newest),
    ]);
    if (this.timeframe.name !== BASE.name && this.clock.isKnown) await this.readShort();
    return answers;
  }

  /** Take the answers of `fetch`; returns whether anything changed. */
  take([{ candles }, indicators]) {
    const forgot = this.candles.forget(candles);
    const changed = this.candles.take([...candles, ...this.forming()]);
    const values = this.takeValues(indicators.series);
    this.indicators = indicators;
    return changed.length > 0 || values || forgot;
  }

  /** Read the alerts that still stand; returns whether they differ. */
  async readAlerts() {
    if (!this.alertsPath) return false;
    try {
      const answer = await get(this.alertsPath, { product: this.product, timeframe: this.timeframe.name, limit: PAGE });
      const stand = answer.alerts.filter(alert => alert.state === "stands").map(fromAlert);
      const differ = JSON.stringify(stand) !== JSON.stringify(this.alerts);
      this.alerts = stand;
      return differ;
    } catch { return false; } // the chart is worth showing without them
  }

  /** Read the candles before the oldest one; returns whether there were any. */
  async readOlder() {
    const end = this.candles.first - this.timeframe.seconds;
    const { candles } = await this.getCandles({ timeframe: this.timeframe.name, end, limit: PAGE });
    this.isWhole = candles.length === 0;
    return this.candles.take(candles).length > 0;
  }

  /** Take the candle of an event; returns the candles of this series that are new or different. */
  takeEvent(kind, event) {
    if (!CANDLE_KINDS.includes(kind) || !Number.isFinite(event.close)) return [];
    if (event.timeframe === this.timeframe.name) return this.candles.take([this.withKnown(kind, event)]);
    if (event.timeframe !== BASE.name) return [];
    this.clock.reach(event.start);
    this.short.take([candleOf(event)]);
    return this.candles.take(this.forming());
  }

  /** The candle of an event, with what is known of its bucket already. */
  withKnown(kind, event) {
    const known = this.candles.by.get(event.start);
    if (kind === "forming" && known && known.state !== "forming") return known;
    return { ...candleOf(event), corrected: kind === "correction" || (known?.corrected ?? false) };
  }

  /** The candle of the open bucket of a longer timeframe, as a list of one, or of none if it is not known. */
  forming() {
    if (this.timeframe.name === BASE.name || !this.clock.isKnown) return [];
    const start = this.clock.open(this.timeframe.seconds);
    const known = this.candles.by.get(start);
    if (known && known.state !== "forming") return [];
    const candle = formingOf([...this.short.by.values()], start, this.timeframe.seconds);
    return candle ? [candle] : [];
  }

  /** Read the 5m candles of the open bucket. */
  async readShort() {
    const start = this.clock.open(this.timeframe.seconds);
    const { candles } = await this.getCandles({ timeframe: BASE.name, start });
    this.short.by.clear();
    this.short.take(candles);
  }

  /** Take the newest values; what they no longer have (behind a new gap) is gone. Returns whether anything changed. */
  takeValues(rows) {
    const newest = () => JSON.stringify([...this.values.values()].slice(-PAGE));
    const before = newest();
    if (rows.length) for (const start of [...this.values.keys()]) if (start >= rows[0].start) this.values.delete(start);
    if (!rows.length) this.values.clear();
    for (const row of rows) this.values.set(row.start, row);
    return newest() !== before;
  }

  getCandles(query) {
    return get(`/v1/candles/${encodeURIComponent(this.product)}`, query);
  }
}

function candleOf({ start, open, high, low, close, volume, trades = true, state }) {
  return { start, open, high, low, close, volume, trades, state: state ?? "forming" };
}
