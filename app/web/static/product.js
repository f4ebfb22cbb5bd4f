// One product: its chart by timeframe, live; the link holds what is seen.

import { get, repeat, ROOT } from "./api.js";
import { Clock } from "./clock.js";
import { h, setText } from "./dom.js";
import { startFrame } from "./frame.js";
import { Link } from "./link.js";
import { Live } from "./live.js";
import { Notes } from "./notes.js";
import { Panel } from "./panel.js";
import { Readout } from "./readout.js";
import { Series } from "./series.js";
import { Tabs } from "./tabs.js";

const POLL_MS = 1000, POLL_WITH_STREAM_MS = 5000, OVERVIEW_MS = 5000;
const NEAR_THE_START = 30; // buckets from the oldest one at which older ones are requested
const LEGEND = {
  confirmed: "confirmed by REST", closed: "closed", forming: "forming", empty: "no trades", corrected: "corrected",
  gap: "gap",
};

class ProductPage {
  /** `alertsPath`: of the API; undefined if the server has no alerts. */
  constructor(product, alertsPath, element) {
    this.product = product; // name of the product
    this.alertsPath = alertsPath; // where alerts are
    this.element = element; // contains the page
    this.clock = new Clock(); // the exchange's time
    this.series = null; // the series that is shown
    this.live = null; // the events of that series
    this.refresh = () => {}; // reads that series at once
    this.isReadingOlder = false; // whether older candles have been requested
    this.link = new Link(() => this.seen(), name => this.choose(name)); // its address
    this.tabs = new Tabs(name => this.goTo(name)); // its timeframes
    this.panel = new Panel({
      onHover: start => this.hover(start), onRange: range => this.move(range), onNewest: () => this.link.write(),
    }); // its chart
    this.readout = new Readout(); // the line above the chart
    this.notes = new Notes(); // the texts above and below it
    this.problem = h("p", { class: "say", role: "alert", hidden: true }); // why there is nothing to show
  }

  start() {
    this.build();
    repeat(() => this.readOverview(), () => OVERVIEW_MS);
    startFrame(summary => { if (summary.exchange_ms !== null) this.clock.set(summary.exchange_ms); });
  }

  build() {
    const { notes, panel } = this;
    this.element.replaceChildren(
      h("div", { class: "product-head" }, h("h1", {}, this.product), notes.price, notes.change, notes.stage),
      h("div", { class: "bar" }, this.tabs.element, h("span", { class: "spring" }), panel.buttons()),
      this.problem,
      h("div", { class: "chart-box", id: "panel", role: "tabpanel" }, this.readout.element, panel.box),
      h("div", { class: "notes" }, notes.gaps, notes.rests),
      h("div", { class: "notes" },
        Object.entries(LEGEND).map(([name, text]) => h("span", { class: `key ${name}` }, text)),
        h("span", {}, h("a", { href: `${ROOT}/static/vendor/NOTICE.txt` }, "Charts by TradingView Lightweight Charts™"))));
  }

  /** Read the product's row of the overview: its change of 24 hours, the timeframes, the exchange's time. */
  async readOverview() {
    try {
      const answer = await get("/v1/overview");
      const row = answer.products.find(({ product }) => product === this.product) ?? null;
      this.notes.row = row;
      const reason = this.whyNone(row);
      this.report(reason);
      if (reason) return;
      this.clock.set(answer.exchange_ms);
      this.clock.settlingS = answer.settling_seconds;
      if (!this.tabs.timeframes.length) this.begin(answer.timeframes);
      this.notes.showChange();
    } catch (error) {
      this.report(this.tabs.timeframes.length ? "" : error.message);
    }
  }

  /** Why there is nothing to show of the product with this row of the overview, or an empty text. */
  whyNone(row) {
    if (!row) return `${this.product} is not followed here.`;
    return row.refused ? `${this.product} is refused by the exchange: ${row.refused}` : "";
  }

  begin(timeframes) {
    this.tabs.offer(timeframes);
    this.choose(this.link.timeframe);
    this.refresh = repeat(() => this.read(), () => (this.live.isOpen ? POLL_WITH_STREAM_MS : POLL_MS));
  }

  /** Show another timeframe. */
  choose(name) {
    const timeframe = this.tabs.find(name);
    if (this.series?.timeframe === timeframe) return;
    this.series = new Series(this.product, timeframe, this.clock, this.alertsPath);
    this.readout.hovered = null;
    this.element.dataset.ready = "";
    this.tabs.select(timeframe);
    this.live?.end();
    this.live = new Live(this.series.filter(), (kind, event) => this.take(kind, event), () => this.refresh());
    this.refresh();
  }

  /** The reader has chosen another timeframe. */
  goTo(name) {
    this.choose(name);
    this.link.write(true);
  }

  /** Read the newest of the series that is shown, and what it rests on; everything that differs is drawn again. */
  async read() {
    const { series } = this;
    try {
      const answers = await series.fetch();
      if (series !== this.series) return;
      this.report("");
      const differs = series.take(answers);
      const alertsDiffer = await series.readAlerts();
      if (series !== this.series) return;
      if (differs || alertsDiffer || !series.isDrawn) this.draw();
      this.describe();
    } catch (error) {
      if (series === this.series) this.report(error.message);
    }
  }

  /** Read older candles of the series that is shown, unless a request is under way or there are none. */
  async readOlder() {
    const { series } = this;
    if (this.isReadingOlder || !series.hasOlder) return;
    this.isReadingOlder = true;
    try {
      if (await series.readOlder() && series === this.series) this.draw();
    } catch { /* requested again when the reader moves on */ } finally { this.isReadingOlder = false; }
  }

  /** An event is drawn at once; reading again makes sure of the rest (the values behind it, its final state). */
  take(kind, event) {
    const { series } = this;
    if (!series.isDrawn || event.product !== this.product) return;
    const changed = series.takeEvent(kind, event);
    if (changed.length) {
      if (!this.panel.update(changed)) this.draw();
      this.describe();
    }
    if (kind !== "forming" && event.timeframe === series.timeframe.name) this.refresh();
  }

  draw() {
    const { series } = this;
    if (series.isEmpty) return;
    this.panel.draw(series, this.link);
    series.isDrawn = true;
    this.element.dataset.ready = series.timeframe.name;
    this.notes.showGaps(series);
  }

  /** Show the texts that go with the chart. */
  describe() {
    this.notes.show(this.series);
    this.panel.describe(`${this.product} ${this.series.timeframe.name}: ${this.notes.text}`);
    this.readout.show(this.series);
  }

  /** The reader points at the bucket with this start, or at none. */
  hover(start) {
    this.readout.hovered = start;
    this.readout.show(this.series);
  }

  /** The reader moved the chart to this range of buckets. */
  move(range) {
    if (!this.series.isDrawn) return;
    this.link.writeSoon();
    if (range.from < NEAR_THE_START) this.readOlder();
  }

  /** What the address says of this page. */
  seen() {
    const { isDrawn, timeframe } = this.series;
    return { timeframe: timeframe.name, range: isDrawn ? this.panel.rangeBefore() : null };
  }

  /** Show a problem above the chart, or none if the text is empty. */
  report(text) {
    this.problem.hidden = !text;
    setText(this.problem, text);
  }
}

const { product, alerts } = document.body.dataset;
new ProductPage(product, alerts, document.getElementById("page")).start();
