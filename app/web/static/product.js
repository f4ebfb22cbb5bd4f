// One product: its chart by timeframe, live; the link holds what is seen.

import { get, repeat } from "./api.js";
import { Candles, formingOf, isKnown, words } from "./candles.js";
import { Chart } from "./chart.js";
import { h, setText } from "./dom.js";
import { change, moment, points, price, volume } from "./format.js";
import { startFrame } from "./frame.js";
import { Live } from "./live.js";
import { fromAlert } from "./alert.js";

const BASE = { name: "5m", seconds: 300 }; // what the stream delivers: longer candles form from it
const PAGE = 500; // candles in one request
const MOST = 5000; // candles that a page holds
const POLL_MS = 1000, POLL_WITH_STREAM_MS = 5000;
const GRACE_S = 10; // exchange seconds that REST has for its answer
const BARS_SEEN = 120, PHONE_BARS_SEEN = 55;
const NEAR_THE_START = 30; // buckets from the oldest one at which older ones are asked for

const product = document.body.dataset.product;
const page = document.getElementById("page");
const query = new URLSearchParams(location.search);

let timeframes = [];
let shown = null; // the series that is shown, as a `Shown`
let chart = null;
let live = null;
let nowS = null;
let settlingS = 0;
let hovered = null;
let quiet = false; // the range changes because of us, not because of the reader

const parts = {
  price: h("span", { class: "price" }), change: h("span"), stage: h("span", { class: "dim" }),
  tabs: h("div", { class: "tabs", role: "tablist", "aria-label": "Timeframe", onkeydown: moveTab }),
  box: h("div", { class: "chart", tabindex: 0, role: "img", id: "chart", onkeydown: chartKeys }),
  readout: h("div", { class: "readout", id: "readout" }),
  gaps: h("span", { id: "gaps", role: "status" }), problem: h("p", { class: "say", role: "alert", hidden: true }),
  rests: h("span", { id: "rests" }),
};

/** What is known of the series of one timeframe. */
class Shown {
  constructor(timeframe) {
    this.timeframe = timeframe;
    this.candles = new Candles(timeframe.seconds);
    this.short = new Candles(BASE.seconds); // what the open bucket of a longer timeframe forms from
    this.values = new Map();
    this.latest = null;
    this.alerts = [];
    this.whole = false; // whether the oldest candle that there is has been fetched
    this.fitted = false;
  }
}

function build() {
  page.replaceChildren(
    h("div", { class: "product-head" }, h("h1", {}, product), parts.price, parts.change, parts.stage),
    h("div", { class: "bar" }, parts.tabs, h("span", { class: "spring" }),
      h("button", { type: "button", class: "button", id: "newest", onclick: toNewest, "aria-label": "To the newest candle" }, "Newest"),
      h("button", { type: "button", class: "button", "aria-label": "Zoom in", onclick: () => chart?.zoom(0.7) }, "+"),
      h("button", { type: "button", class: "button", "aria-label": "Zoom out", onclick: () => chart?.zoom(1.4) }, "−")),
    parts.problem,
    h("div", { class: "chart-box", id: "panel", role: "tabpanel" }, parts.readout, parts.box),
    h("div", { class: "notes" }, parts.gaps, parts.rests),
    h("div", { class: "notes" },
      [["confirmed", "confirmed by REST"], ["closed", "closed"], ["forming", "forming"], ["empty", "no trades"],
        ["corrected", "corrected"], ["gap", "gap"]].map(([name, text]) => h("span", { class: `key ${name}` }, text)),
      h("span", {}, h("a", { href: "/static/vendor/NOTICE.txt" }, "Charts by TradingView Lightweight Charts™"))));
}

function tabs() {
  parts.tabs.replaceChildren(...timeframes.map(timeframe => h("button", {
    type: "button", role: "tab", id: `tab-${timeframe.name}`, "aria-controls": "panel",
    onclick: () => { choose(timeframe.name); link(true); },
  }, timeframe.name)));
}

function moveTab(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !shown) return;
  event.preventDefault();
  const index = (timeframes.indexOf(shown.timeframe) + step + timeframes.length) % timeframes.length;
  choose(timeframes[index].name);
  link(true);
  document.getElementById(`tab-${timeframes[index].name}`).focus();
}

function chartKeys(event) {
  const act = {
    ArrowLeft: () => chart.pan(-10), ArrowRight: () => chart.pan(10), "+": () => chart.zoom(0.7), "-": () => chart.zoom(1.4),
    End: toNewest,
  }[event.key];
  if (!act || !chart) return;
  event.preventDefault();
  act();
}

/** Show another timeframe. */
function choose(name) {
  const timeframe = timeframes.find(t => t.name === name) ?? timeframes[0];
  if (shown?.timeframe === timeframe) return;
  shown = new Shown(timeframe);
  hovered = null;
  page.dataset.ready = "";
  for (const tab of parts.tabs.children) {
    const selected = tab.id === `tab-${timeframe.name}`;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
  }
  live?.end();
  const timeframesHeard = [...new Set([timeframe.name, BASE.name])].join(",");
  const kinds = "close,correction,indicator,alert,forming";
  live = new Live({ products: product, timeframes: timeframesHeard, kinds }, onEvent, () => refresh());
  refresh();
}

/** Put what is seen into the address; `step`: as a step that the reader can go back. */
function link(step = false) {
  const seen = shown.fitted && chart.seen();
  const told = new URLSearchParams({ timeframe: shown.timeframe.name });
  if (seen && !followsNewest()) { told.set("from", Math.round(seen.from)); told.set("to", Math.round(seen.to)); }
  const url = `?${told}`;
  if (url === location.search) return;
  if (step) history.pushState(null, "", url); else history.replaceState(null, "", url);
}

function followsNewest() {
  const seen = chart.seen();
  return !seen || seen.to >= chart.buckets.at(-1).start;
}

function toNewest() {
  chart?.seeNewest(barsSeen());
  link();
}

const barsSeen = () => (innerWidth < 700 ? PHONE_BARS_SEEN : BARS_SEEN);

/** Read the newest of the shown series, and what it rests on; everything that differs is drawn again. */
async function read() {
  const mine = shown;
  if (!mine) return;
  const timeframe = mine.timeframe.name;
  try {
    const [candles, indicators] = await Promise.all([
      get(`/v1/candles/${encodeURIComponent(product)}`, { timeframe, limit: PAGE }),
      get(`/v1/indicators/${encodeURIComponent(product)}`, { timeframe, limit: PAGE }),
    ]);
    if (timeframe !== BASE.name && nowS !== null) await readShort(mine);
    if (mine !== shown) return;
    parts.problem.hidden = true;
    const forgot = mine.candles.forget(candles.candles);
    const changed = mine.candles.take([...candles.candles, ...openOne(mine)]);
    const values = takeValues(mine, indicators.series);
    mine.latest = indicators;
    const alerts = document.body.dataset.alerts && await readAlerts(mine);
    if (mine !== shown) return;
    if (changed.length || values || forgot || alerts || !mine.fitted) draw();
    about();
  } catch (error) {
    if (mine !== shown) return;
    parts.problem.hidden = false;
    setText(parts.problem, error.message);
  }
}

/** The short candles of the bucket that is open now. */
async function readShort(mine) {
  const start = openBucket(mine);
  const answer = await get(`/v1/candles/${encodeURIComponent(product)}`, { timeframe: BASE.name, start });
  mine.short.by.clear();
  mine.short.take(answer.candles);
}

const openBucket = mine => Math.floor(nowS / mine.timeframe.seconds) * mine.timeframe.seconds;

/** The candle of the open bucket of a longer timeframe, as a list of one, or of none where it is not known. */
function openOne(mine) {
  if (mine.timeframe.name === BASE.name || nowS === null) return [];
  const start = openBucket(mine);
  const known = mine.candles.by.get(start);
  if (known && known.state !== "forming") return [];
  const forming = formingOf([...mine.short.by.values()], start, mine.timeframe.seconds);
  return forming ? [forming] : [];
}

/** Take the newest values; what they no longer have (behind a new gap) is gone. Returns whether anything changed. */
function takeValues(mine, rows) {
  const before = JSON.stringify([...mine.values.values()].slice(-PAGE));
  if (rows.length) for (const start of [...mine.values.keys()]) if (start >= rows[0].start) mine.values.delete(start);
  if (!rows.length) mine.values.clear();
  for (const row of rows) mine.values.set(row.start, row);
  return JSON.stringify([...mine.values.values()].slice(-PAGE)) !== before;
}

/** Take the alerts of the series that still stand; returns whether they differ. */
async function readAlerts(mine) {
  try {
    const answer = await get(document.body.dataset.alerts, { product, timeframe: mine.timeframe.name, limit: PAGE });
    const stand = answer.alerts.filter(alert => alert.state === "stands").map(fromAlert);
    const differ = JSON.stringify(stand) !== JSON.stringify(mine.alerts);
    mine.alerts = stand;
    return differ;
  } catch { return false; } // the chart is worth showing without them
}

/** The newest bucket that should be known by now; null while the exchange's clock is not. */
function due() {
  const step = shown.timeframe.seconds;
  // Whether a bucket had no trades is only known when it has settled; until then it is no gap.
  return nowS === null ? null : Math.floor((nowS - settlingS - GRACE_S) / step) * step - step;
}

function draw() {
  const buckets = shown.candles.buckets(due());
  if (!buckets.length) return;
  chart ??= new Chart(parts.box, onHover, onRange);
  quiet = true;
  chart.show(buckets, [...shown.values.values()].sort((a, b) => a.start - b.start), shown.alerts);
  if (!shown.fitted) fit();
  quiet = false;
  shown.fitted = true;
  page.dataset.ready = shown.timeframe.name;
  gapsText();
}

/** See what the link says, else the newest. */
function fit() {
  const from = Number(query.get("from")), to = Number(query.get("to"));
  query.delete("from");
  if (from && to > from && to >= shown.candles.first) chart.see(Math.max(from, shown.candles.first), to);
  else chart.seeNewest(barsSeen());
}

function gapsText() {
  const gaps = shown.candles.gaps(due());
  const step = shown.timeframe.seconds;
  const first = gaps.slice(-3).map(([a, b]) => (a === b ? moment(a) : `${moment(a)} – ${moment(b + step)}`)).join(", ");
  setText(parts.gaps, gaps.length ? `${gaps.length === 1 ? "1 gap" : `${gaps.length} gaps`}: ${first}` : "No gaps");
  parts.gaps.className = gaps.length ? "bad" : "";
}

/** The line above the chart: the bucket under the crosshair, else the newest. */
function readout() {
  if (!shown) return;
  const start = hovered ?? shown.candles.last;
  if (start === null) return parts.readout.replaceChildren();
  const bucket = shown.candles.by.get(start) ?? { start };
  const value = shown.values.get(start) ?? (hovered ? undefined : [...shown.values.values()].at(-1));
  const item = (name, text) => h("span", {}, h("span", { class: "dim" }, `${name} `), h("b", {}, text));
  const known = isKnown(bucket);
  parts.readout.replaceChildren(...[
    h("span", {}, `${moment(start)} UTC`),
    known && item("O", price(bucket.open)), known && item("H", price(bucket.high)), known && item("L", price(bucket.low)),
    known && item("C", price(bucket.close)), known && item("Vol", volume(bucket.volume)),
    value && item("MACD-V", points(value.macdv)), value && item("signal", points(value.signal)),
    value && item("hist", points(value.histogram)), value?.stage && item("stage", value.stage),
    ...words(bucket).map(text => h("span", { class: `tag ${text === "corrected" ? "warn" : known ? "dim" : "bad"}` }, text)),
  ].filter(Boolean));
}

/** What is to be said of the product beside its chart. */
function about() {
  const last = shown.candles.by.get(shown.candles.last);
  setText(parts.price, price(last?.close));
  const latest = shown.latest;
  const value = latest?.series.at(-1);
  setText(parts.stage, value ? `MACD-V ${points(value.macdv)} · ${value.stage ?? "no stage yet"}` : latest?.reason ?? "");
  const error = latest?.latest?.error;
  setText(parts.rests, latest?.ready
    ? `MACD-V rests on ${latest.candles} candles${error !== undefined ? `, exact to ${error < 0.05 ? "0.1" : points(error)} points` : ""}`
    : latest?.reason ?? "");
  parts.box.setAttribute("aria-label",
    `${product} ${shown.timeframe.name}: price ${price(last?.close)}, ${parts.stage.textContent}. ${parts.gaps.textContent}. Arrow keys move, plus and minus zoom.`);
  readout();
  showDay();
}

/** The change of 24 hours, as the overview has it: whatever timeframe is shown. */
function showDay() {
  const row = day;
  setText(parts.change, row ? `${change(row.change)} in 24 h` : "");
  parts.change.className = row?.change > 0 ? "up" : row?.change < 0 ? "down" : "";
}
let day = null;

function onHover(start) {
  hovered = start;
  readout();
}

let linkTimer = 0;
function onRange(range) {
  if (quiet || !shown?.fitted) return;
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => link(), 300);
  if (range.from < NEAR_THE_START) readOlder();
}

let older = false;
async function readOlder() {
  const mine = shown;
  if (older || mine.whole || mine.candles.by.size >= MOST) return;
  older = true;
  try {
    const end = mine.candles.first - mine.timeframe.seconds;
    const answer = await get(`/v1/candles/${encodeURIComponent(product)}`, { timeframe: mine.timeframe.name, end, limit: PAGE });
    mine.whole = answer.candles.length === 0;
    if (mine.candles.take(answer.candles).length && mine === shown) draw();
  } catch { mine.whole = false; } finally { older = false; }
}

/** An event is drawn at once; reading again makes sure of the rest (the values behind it, its final state). */
function onEvent(kind, event) {
  if (!shown?.fitted || event.product !== product) return;
  const isCandle = Number.isFinite(event.close) && ["close", "correction", "forming"].includes(kind);
  if (event.timeframe === shown.timeframe.name) {
    if (isCandle) drawAtOnce(withFlags(kind, event));
    if (kind !== "forming") refresh();
  } else if (isCandle && event.timeframe === BASE.name) {
    nowS = Math.max(nowS ?? 0, event.start);
    shown.short.take([pick(event)]);
    openOne(shown).forEach(drawAtOnce);
  }
}

/** The candle of an event, with what is known of its bucket already. */
function withFlags(kind, event) {
  const known = shown.candles.by.get(event.start);
  if (kind === "forming" && known && known.state !== "forming") return known;
  return { ...pick(event), corrected: kind === "correction" || (known?.corrected ?? false) };
}

function drawAtOnce(row) {
  const changed = shown.candles.take([row]);
  if (!changed.length) return;
  if (chart.buckets.at(-1).start >= row.start) chart.update(changed); else draw();
  about();
}

function pick({ start, open, high, low, close, volume, trades = true, state }) {
  return { start, open, high, low, close, volume, trades, state: state ?? "forming" };
}

addEventListener("popstate", () => {
  const told = new URLSearchParams(location.search);
  for (const name of ["from", "to"]) if (told.has(name)) query.set(name, told.get(name));
  choose(told.get("timeframe"));
});

let refresh = () => {};

async function start() {
  build();
  // The row of the overview says which timeframes there are, and the change of 24 hours.
  repeat(async () => {
    try {
      const answer = await get("/v1/overview");
      day = answer.products.find(row => row.product === product) ?? null;
      const none = !day ? `${product} is not followed here.` : day.refused ? `${product} is refused by the exchange: ${day.refused}` : "";
      parts.problem.hidden = !none;
      setText(parts.problem, none);
      if (none) return;
      nowS = answer.exchange_ms === null ? null : answer.exchange_ms / 1000;
      settlingS = answer.settling_seconds;
      if (!timeframes.length) {
        timeframes = answer.timeframes;
        tabs();
        choose(query.get("timeframe"));
        refresh = repeat(read, () => (live?.isOpen ? POLL_WITH_STREAM_MS : POLL_MS));
      }
      showDay();
    } catch (error) {
      parts.problem.hidden = timeframes.length > 0;
      setText(parts.problem, error.message);
    }
  }, () => 5000);
  startFrame(summary => { if (summary.exchange_ms !== null) nowS = summary.exchange_ms / 1000; });
}

start();
