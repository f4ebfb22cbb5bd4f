// The health page: all of /v1/status, for operators.

import { get, repeat } from "./api.js";
import { h, table } from "./dom.js";
import { bytes, count, duration, moment, price, volume } from "./format.js";
import { startFrame } from "./frame.js";
import { productUrl } from "./link.js";

const POLL_MS = 2000;
const LISTED = 50; // rows of a list; the rest are counted
const CLOCK_OLD_S = 15;

/** A card, as `HealthPage` shows it. `data`: what it is made from. */
const card = (name, data, trouble, ...content) => ({ name, data, trouble, content });

function facts(pairs) {
  return h("dl", {}, pairs.flatMap(([name, value, trouble]) => [h("dt", {}, name), h("dd", { class: trouble ? "bad" : null }, value)]));
}

const connectionColumns = [
  { name: "ingest", text: true }, { name: "connection", text: true }, { name: "connected since", text: true }, { name: "products" },
  { name: "frames" }, { name: "connects" }, { name: "last frame by channel", text: true }, { name: "sequence gaps" },
  { name: "late updates" }, { name: "rejected" }, { name: "last error", text: true },
];

function feed(status) {
  const ingests = status.feed.ingests;
  const rows = ingests.flatMap(ingest => ingest.connections.map(c => [
    ingest.name, c.connection, h("span", { class: c.is_open ? "up" : "bad" }, since(c)), count(c.products),
    count(c.frames), count(c.attempt), channels(c.silent_ms), count(c.sequence_gaps), count(c.late_updates),
    count(Object.values(c.rejected).reduce((a, b) => a + b, 0)), c.last_error ?? "–",
  ]));
  const dropped = ingests.reduce((sum, ingest) => sum + ingest.dropped, 0);
  return card("Feed", [status.feed.connected, ingests], !status.feed.connected,
    rows.length ? table(connectionColumns, rows, "Connections to the exchange") : h("p", { class: "bad" }, "No ingest process is running."),
    dropped ? h("p", { class: "warn" }, `${count(dropped)} candles were dropped while Redis was unavailable; the scan will request them.`) : null);
}

/** When a connection was opened, by the browser's clock, to the minute. */
function since(connection) {
  if (!connection.is_open) return "down";
  const seconds = Math.floor((connection.open_ms ?? 0) / 1000);
  const opened = new Date(Date.now() - seconds * 1000);
  return `${opened.toLocaleString([], { dateStyle: "short", timeStyle: "short" })} (${duration(seconds)})`;
}

function channels(silent) {
  return Object.entries(silent).map(([name, ms]) => `${name} ${duration(ms / 1000)}`).join(", ") || "–";
}

function clock(status) {
  const told = status.feed.clock;
  if (!told) return card("Clock", null, true, h("p", { class: "bad" }, "The exchange's clock has not been received yet."));
  const old = told.age_real_seconds > CLOCK_OLD_S;
  const offset = Date.now() / 1000 - told.age_real_seconds - told.exchange_ms / 1000;
  return card("Clock", [told, Math.round(offset)], old, facts([
    ["exchange time (UTC)", moment(told.exchange_ms / 1000, true)],
    ["received", `${duration(told.age_real_seconds)} ago`, old],
    ["this browser is", Math.abs(offset) < 1 ? "in sync" : `${duration(Math.abs(offset))} ${offset > 0 ? "ahead" : "behind"}`],
  ]));
}

function start(status) {
  const s = status.start;
  const bar = h("progress", { max: s.series_total || 1, value: s.series_ready, "aria-label": "Series ready" });
  return card("Start", s, s.requests_left > 0, bar, facts([
    ["series ready", `${count(s.series_ready)} of ${count(s.series_total)}`],
    ["products ready", `${count(s.products_ready)} of ${count(s.products_total)}`],
    ["requests left", count(s.requests_left)],
    ["time left", s.requests_left ? `about ${duration(s.seconds_left)}` : "–"],
  ]));
}

function gaps(status) {
  const g = status.gaps;
  const pending = g.pending.slice(0, LISTED).map(r => [r.product, r.timeframe, PRIORITY[r.priority] ?? r.kind]);
  const columns = [{ name: "product", text: true }, { name: "timeframe", text: true }, { name: "reason", text: true }];
  return card("Gaps and backfill", g, g.failures.length > 0, facts([
    ["under way", count(g.under_way)], ["waiting for a permit", count(g.ready)],
    ["waiting for the bucket to settle", count(g.settling)], ["waiting for a retry", count(g.delayed), g.delayed > 0],
    ["given up", count(g.failures.length), g.failures.length > 0],
  ]),
  pending.length ? table(columns, pending, "Pending requests") : h("p", { class: "dim" }, "No candles are missing; no requests are pending."),
  g.total > pending.length ? h("p", { class: "dim" }, `and ${count(g.total - pending.length)} more`) : null);
}

const PRIORITY = { gap: "candles are missing", start: "initial backfill", history: "older candles", reconcile: "comparison with REST" };

function failures(status) {
  const rows = status.gaps.failures.slice(0, LISTED).map(f => [f.product, f.timeframe, f.kind, moment(f.exchange_ms / 1000), f.reason]);
  const columns = ["product", "timeframe", "for", "given up (UTC)", "reason"].map(name => ({ name, text: true }));
  return rows.length ? card("Given up", status.gaps.failures, true, table(columns, rows, "Requests that were given up")) : null;
}

function budget(status) {
  const b = status.budget;
  return card("Request budget", b, b.paused_real_seconds > 0, facts([
    ["limit, all processes", `${b.per_second} per second`], ["requests granted", count(b.granted)],
    ["requests waiting", count(status.gaps.ready)], ["rate limited or blocked", count(b.throttled), b.throttled > 0],
    ["paused for", b.paused_real_seconds ? duration(b.paused_real_seconds) : "–", b.paused_real_seconds > 0],
    ...(b.pause_reason ? [["the exchange answered", b.pause_reason, true]] : []),
    ...Object.entries(b).filter(([name, value]) => !BUDGET_SHOWN.has(name) && typeof value === "number")
      .map(([name, value]) => [name.replaceAll("_", " "), count(value)]),
  ]));
}
const BUDGET_SHOWN = new Set(["per_second", "granted", "throttled", "paused_real_seconds"]);

function reconciliation(status, corrections) {
  const causes = Object.entries(status.corrections.by_cause);
  const timeframes = [...new Set(causes.flatMap(([, by]) => Object.keys(by)))];
  const last = corrections.reconciled_ms;
  const rows = corrections.corrections.slice(0, 20).map(c => [
    moment(c.exchange_ms / 1000), h("a", { href: productUrl(c.product, c.timeframe) }, c.product),
    c.timeframe, moment(c.start), c.cause, c.fields.map(f => `${f} ${(f === "volume" ? volume : price)(c.before[f])} → ${(f === "volume" ? volume : price)(c.after[f])}`).join(", ") || "trades",
  ]);
  return card("Reconciliation", [status.corrections, corrections], false, facts([
    ["last run (UTC)", last ? moment(last / 1000) : "not yet"],
    ["last scan for gaps (UTC)", corrections.scanned_ms ? moment(corrections.scanned_ms / 1000) : "not yet"],
    ["candles corrected", count(status.corrections.total)],
    ...causes.map(([cause, by]) => [`by ${cause}`, timeframes.filter(t => by[t]).map(t => `${t}: ${count(by[t])}`).join(", ")]),
  ]),
  rows.length ? table(["noticed (UTC)", "product", "timeframe", "bucket (UTC)", "cause", "what changed"].map(name => ({ name, text: true })),
    rows, "Newest corrections") : h("p", { class: "dim" }, "No closed candle was replaced."));
}

function queues(status) {
  const waiting = Object.entries(status.queues.waiting);
  const flower = document.body.dataset.flower;
  const near = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const reachable = near || document.body.dataset.flowerOpen === "yes";
  const link = h("a", { href: `http://${location.hostname}:${flower}`, rel: "noreferrer" }, "Flower: workers and queues");
  return card("Queues", status.queues, false, facts([
    ...waiting.map(([name, length]) => [name, `${count(length)} waiting`, length > 1000]),
    ["held by workers", count(status.queues.unacknowledged)],
  ]), h("p", {}, reachable ? link : `Flower listens on the server's loopback only, port ${flower}.`));
}

function processes(status) {
  const roles = Object.entries(status.processes);
  const missing = NEEDED.filter(part => !roles.some(([role]) => role.split(/[ +]/).includes(part)));
  return card("Processes", status.processes, missing.length > 0, facts([
    ...roles.map(([role, number]) => [role, count(number)]), ...missing.map(part => [part, "not running", true]),
  ]));
}
const NEEDED = ["ingest", "indicators", "backfill", "reconcile", "alerts", "beat"]; // required by every installation

function redis(status) {
  const r = status.redis;
  const full = r.max_bytes > 0 && r.used_bytes > 0.9 * r.max_bytes;
  const evicts = r.policy !== "noeviction";
  return card("Redis", r, full || evicts || !r.append_only,
    r.max_bytes ? h("meter", { max: r.max_bytes, high: 0.9 * r.max_bytes, value: r.used_bytes, "aria-label": "Memory used" }) : null,
    facts([
      ["version", r.version], ["memory used", r.max_bytes ? `${bytes(r.used_bytes)} of ${bytes(r.max_bytes)}` : bytes(r.used_bytes), full],
      ["when full", evicts ? `${r.policy}: loses data` : "refuses writes (noeviction)", evicts],
      ["append-only file", r.append_only ? "on" : "off: a crash loses data", !r.append_only],
    ]));
}

function troubled(status) {
  const rows = status.series.filter(s => s.stale || !s.ready || s.reason);
  if (!rows.length) return null;
  const shown = rows.slice(0, LISTED).map(s => [
    h("a", { href: productUrl(s.product, s.timeframe) }, s.product), s.timeframe,
    s.stale ? h("span", { class: "bad" }, "out of date") : s.ready ? "as ready as possible" : h("span", { class: "warn" }, "not ready"),
    count(s.candles), moment(s.newest), duration(s.age_seconds), s.reason ?? "–",
  ]);
  const columns = [{ name: "product", text: true }, { name: "timeframe", text: true }, { name: "state", text: true },
    { name: "candles" }, { name: "newest (UTC)" }, { name: "age" }, { name: "reason", text: true }];
  return card("Series needing attention", rows, rows.some(s => s.stale || !s.ready), table(columns, shown, "Series and why they need attention"),
    rows.length > LISTED ? h("p", { class: "dim" }, `and ${count(rows.length - LISTED)} more`) : null);
}

function refused(status) {
  const rows = status.products.filter(p => p.refused !== null).slice(0, LISTED).map(p => [p.product, p.refused]);
  const columns = [{ name: "product", text: true }, { name: "reason", text: true }];
  return rows.length ? card("Refused by the exchange", rows, false, table(columns, rows, "Products that the exchange refuses")) : null;
}

class HealthPage {
  constructor(element) {
    this.element = element; // contains the page
    this.cards = new Map(); // the cards that were made, by name: `{text, element}`, the text being their data
    this.box = h("div", { class: "cards" }); // contains those that are shown
    this.problem = h("p", { class: "say", role: "alert", hidden: true }); // why they are not current
  }

  start() {
    this.element.replaceChildren(h("h1", {}, "Health"), this.problem, this.box);
    startFrame();
    repeat(() => this.read(), () => POLL_MS);
  }

  async read() {
    try {
      const [status, corrections] = await Promise.all([get("/v1/status"), get("/v1/corrections", { limit: 20 })]);
      this.problem.hidden = true;
      this.show([
        clock(status), start(status), budget(status), processes(status), queues(status), redis(status), gaps(status),
        feed(status), troubled(status), failures(status), reconciliation(status, corrections), refused(status),
      ]);
    } catch (error) {
      this.problem.hidden = false;
      this.problem.textContent = error.message;
    }
  }

  show(cards) {
    const { box } = this;
    const wanted = cards.filter(Boolean).map(card => this.made(card));
    if (wanted.length !== box.children.length || wanted.some((element, i) => box.children[i] !== element))
      box.replaceChildren(...wanted);
  }

  /** The element of a card, made again only if its data has changed. */
  made({ name, data, trouble, content }) {
    const text = JSON.stringify(data);
    if (this.cards.get(name)?.text === text) return this.cards.get(name).element;
    const wide = content.some(part =>
      part instanceof Element && (part.matches(".scroll") || part.querySelector(".scroll")));
    const element = h("section", {
      class: `card${trouble ? " trouble" : ""}${wide ? " wide" : ""}`, "aria-label": name,
      id: `health-${name.toLowerCase().replaceAll(" ", "-")}`,
    }, h("h2", {}, name), ...content);
    this.cards.set(name, { text, element });
    return element;
  }
}

new HealthPage(document.getElementById("page")).start();
