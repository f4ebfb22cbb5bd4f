// The chart of a series: candles and volume above, MACD-V below, on TradingView's Lightweight Charts.

import { isKnown } from "./candles.js";
import { decimals, moment, points } from "./format.js";

const { createChart, createSeriesMarkers, CandlestickSeries, HistogramSeries, LineSeries, LineStyle, CrosshairMode } = LightweightCharts;

const LEVELS = [150, 50, -50, -150];

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function palette() {
  const names = ["panel", "text", "dim", "line", "candle-up", "candle-down", "candle-empty", "corrected", "gap", "macdv",
    "signal", "hist-up", "hist-down", "volume", "warn"];
  return Object.fromEntries(names.map(name => [name, colour(name)]));
}

export class Chart {
  /** `onHover(start)`: bucket under the crosshair, or null. `onRange(range)`: the visible range, in buckets. */
  constructor(box, onHover, onRange) {
    this.colours = palette();
    this.buckets = [];
    this.values = [];
    this.alerts = [];
    this.chart = createChart(box, {
      autoSize: true,
      layout: { attributionLogo: false }, // it is an inline style; the page has the attribution as text
      crosshair: { mode: CrosshairMode.Normal },
      localization: { timeFormatter: time => `${moment(time)} UTC` },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 1 },
    });
    this.gap = this.chart.addSeries(HistogramSeries, { ...SILENT, priceScaleId: "gap", base: 0 });
    this.volume = this.chart.addSeries(HistogramSeries, { ...SILENT, priceScaleId: "volume", priceFormat: { type: "volume" } });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: true });
    this.histogram = this.chart.addSeries(HistogramSeries, { ...SILENT, priceFormat: POINTS }, 1);
    this.signal = this.chart.addSeries(LineSeries, { ...SILENT, lineWidth: 1, priceFormat: POINTS }, 1);
    this.macdv = this.chart.addSeries(
      LineSeries, { lineWidth: 2, priceLineVisible: false, priceFormat: POINTS, autoscaleInfoProvider: withLevels }, 1);
    this.gap.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.2 } });
    this.markers = createSeriesMarkers(this.candles, []);
    this.levels = LEVELS.map(price => this.macdv.createPriceLine({ price, lineWidth: 1, axisLabelVisible: true, title: "" }));
    const [above, below] = this.chart.panes();
    above.setStretchFactor(7);
    below.setStretchFactor(3);
    this.chart.subscribeCrosshairMove(at => onHover(at.time ?? null));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(range => range && onRange(range));
    document.documentElement.addEventListener("themechange", () => this.recolour());
    this.recolour();
  }

  /**
   * Draw `buckets` (all, oldest first, `{start}` if missing). The visible range stays, even if older buckets are new;
   * if it includes the newest bucket, it follows the newest.
   */
  show(buckets, values, alerts) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const shift = this.shift(buckets, range);
    this.buckets = buckets;
    this.values = values;
    this.alerts = alerts;
    const digits = decimals(buckets.findLast(isKnown)?.close);
    this.candles.applyOptions({ priceFormat: { type: "price", precision: digits, minMove: 10 ** -digits } });
    this.gap.setData(buckets.map(b => this.gapPoint(b)));
    this.volume.setData(buckets.map(b => this.volumePoint(b)));
    this.candles.setData(buckets.map(b => this.candlePoint(b)));
    this.macdv.setData(values.map(v => ({ time: v.start, value: v.macdv })));
    this.signal.setData(values.filter(hasSignal).map(v => ({ time: v.start, value: v.signal })));
    this.histogram.setData(values.filter(hasSignal).map(v => this.histogramPoint(v)));
    this.mark();
    if (shift) this.chart.timeScale().setVisibleLogicalRange({ from: range.from + shift, to: range.to + shift });
  }

  /** By how many buckets the visible range must move when `buckets` replace the present ones. */
  shift(buckets, range) {
    if (!range || !this.buckets.length) return 0;
    const [first, last] = [this.buckets[0].start, this.buckets.at(-1).start];
    const before = buckets.findIndex(bucket => bucket.start === first);
    const newest = buckets.findIndex(bucket => bucket.start === last);
    if (before < 0 || newest < 0) return 0; // another series
    return before + (range.to >= this.buckets.length - 1 ? buckets.length - 1 - newest : 0);
  }

  /** Redraw only these buckets; all of them are in the chart. */
  update(changed) {
    for (const bucket of changed) {
      const old = bucket.start < this.buckets.at(-1).start;
      this.gap.update(this.gapPoint(bucket), old);
      this.volume.update(this.volumePoint(bucket), old);
      this.candles.update(this.candlePoint(bucket), old);
    }
    const by = new Map(changed.map(bucket => [bucket.start, bucket]));
    this.buckets = this.buckets.map(bucket => by.get(bucket.start) ?? bucket);
    this.mark();
  }

  mark() {
    this.markers.setMarkers([...this.correctedMarks(), ...this.alertMarks()].sort((a, b) => a.time - b.time));
  }

  candlePoint(bucket) {
    if (!isKnown(bucket)) return { time: bucket.start };
    const { start: time, open, high, low, close } = bucket;
    const line = !bucket.trades ? this.colours["candle-empty"] : this.colours[close >= open ? "candle-up" : "candle-down"];
    // The more certain a candle, the more solid its body.
    const body = { confirmed: line, closed: fade(line, 0.4), forming: fade(line, 0) }[bucket.state];
    return { time, open, high, low, close, color: body, borderColor: line, wickColor: line };
  }

  volumePoint(bucket) {
    return isKnown(bucket) ? { time: bucket.start, value: bucket.volume, color: this.colours.volume } : { time: bucket.start };
  }

  gapPoint(bucket) {
    return isKnown(bucket) ? { time: bucket.start } : { time: bucket.start, value: 1, color: this.colours.gap };
  }

  histogramPoint(value) {
    return { time: value.start, value: value.histogram, color: this.colours[value.histogram >= 0 ? "hist-up" : "hist-down"] };
  }

  correctedMarks() {
    return this.buckets.filter(b => b.corrected).map(b => (
      { time: b.start, position: "belowBar", shape: "circle", color: this.colours.corrected, size: 0.5 }));
  }

  alertMarks() {
    const there = new Set(this.buckets.map(b => b.start));
    return this.alerts.filter(a => there.has(a.start)).map(a => (
      { time: a.start, position: "aboveBar", shape: a.up ? "arrowUp" : "arrowDown", color: this.colours.warn, text: a.mark }));
  }

  recolour() {
    this.colours = palette();
    const c = this.colours;
    this.chart.applyOptions({
      layout: {
        background: { color: c.panel }, textColor: c.dim,
        panes: { separatorColor: c.line, separatorHoverColor: c.line },
      },
      grid: { vertLines: { color: c.line, style: LineStyle.Dotted }, horzLines: { color: c.line, style: LineStyle.Dotted } },
      rightPriceScale: { borderColor: c.line },
      timeScale: { borderColor: c.line },
    });
    this.macdv.applyOptions({ color: c.macdv });
    this.signal.applyOptions({ color: c.signal });
    this.levels.forEach((line, i) => line.applyOptions({
      color: Math.abs(LEVELS[i]) === 150 ? c.warn : c.dim,
      lineStyle: Math.abs(LEVELS[i]) === 150 ? LineStyle.Dashed : LineStyle.Dotted,
    }));
    if (this.buckets.length) this.show(this.buckets, this.values, this.alerts);
  }

  /** Show the newest `bars` buckets. */
  seeNewest(bars) {
    const end = this.buckets.length + 4;
    this.chart.timeScale().setVisibleLogicalRange({ from: end - bars, to: end });
  }

  /** Show the buckets from `from` to `to` (UNIX seconds). */
  see(from, to) {
    this.chart.timeScale().setVisibleRange({ from, to });
  }

  /** The visible range, in UNIX seconds; null if there is none. */
  seen() {
    return this.chart.timeScale().getVisibleRange();
  }

  zoom(factor) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const width = Math.max(10, (range.to - range.from) * factor);
    this.chart.timeScale().setVisibleLogicalRange({ from: range.to - width, to: range.to });
  }

  pan(bars) {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range) this.chart.timeScale().setVisibleLogicalRange({ from: range.from + bars, to: range.to + bars });
  }
}

const SILENT = { lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false };
const POINTS = { type: "custom", minMove: 0.1, formatter: value => points(value) };

/** Keeps the levels visible, wherever the values are. */
function withLevels(original) {
  const range = original()?.priceRange ?? { minValue: 0, maxValue: 0 };
  return { priceRange: { minValue: Math.min(range.minValue, -160), maxValue: Math.max(range.maxValue, 160) } };
}

const hasSignal = value => value.signal !== undefined;

/** A colour of the style sheet (#rrggbb) with `alpha`. */
function fade(hex, alpha) {
  return hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
