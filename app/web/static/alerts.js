// The alerts that were raised, newest first, and the channels that deliver them.

import { fromAlert, delivery } from "./alert.js";
import { get, repeat } from "./api.js";
import { h, table } from "./dom.js";
import { count, duration, moment, points, price } from "./format.js";
import { startFrame } from "./frame.js";
import { productUrl } from "./link.js";
import { Live } from "./live.js";

const POLL_MS = 3000;
const PAGE = 100, MOST = 500; // alerts at first; the API's limit for one page
const COLUMNS = [
  { name: "bar (UTC)", text: true }, { name: "alert", text: true }, { name: "price" }, { name: "MACD-V" }, { name: "stage", text: true },
  { name: "bias", text: true }, { name: "state", text: true }, { name: "delivery", text: true },
];
const CHANNEL_COLUMNS = [
  { name: "channel", text: true }, { name: "kind", text: true }, { name: "state", text: true }, { name: "waiting" },
  { name: "done" }, { name: "dropped" }, { name: "paused for" }, { name: "last error", text: true },
];

function row(alert) {
  const link = productUrl(alert.product, alert.timeframe);
  const withdrawn = alert.state === "withdrawn";
  return [
    moment(alert.start),
    h("span", {}, h("span", { class: alert.up ? "up" : "down" }, alert.up ? "▲ " : "▼ "),
      h("a", { href: link, class: withdrawn ? "withdrawn" : null }, alert.title)),
    price(alert.price), points(alert.macdv), alert.stage ?? "–", alert.bias,
    withdrawn ? "withdrawn after a correction" : "stands", delivery(alert),
  ];
}

function channelRow(channel) {
  const state = h("span", { class: { working: "up", paused: "warn", disabled: "bad" }[channel.state] }, channel.state);
  return [
    channel.channel, channel.kind, state, count(channel.waiting), count(channel.done), count(channel.dropped),
    channel.paused_real_seconds ? duration(channel.paused_real_seconds) : "–", channel.reason ?? "–",
  ];
}

function channelsCard(channels) {
  if (!channels.length)
    return h("p", { class: "dim" }, "No channel is configured: alerts are stored and shown, but not sent.");
  return h("section", { class: "card below", id: "channels" }, h("h2", {}, "Channels"),
    table(CHANNEL_COLUMNS, channels.map(channelRow), "Channels"));
}

class AlertsPage {
  /** `path`: of the alerts in the API; undefined if the server has none. */
  constructor(path, element) {
    this.path = path; // of the alerts in the API
    this.element = element; // contains the page
    this.limit = PAGE; // how many alerts are requested
    this.shown = ""; // the answers that are shown, as text
    this.refresh = () => {}; // reads them at once
  }

  start() {
    startFrame();
    if (!this.path) {
      this.show(h("p", { class: "dim" }, "Alerts are not available on this server."));
      return;
    }
    this.refresh = repeat(() => this.read(), () => POLL_MS);
    new Live({ kinds: "alert" }, () => this.refresh(), () => this.refresh());
  }

  async read() {
    try {
      const [answer, { channels }] = await Promise.all([
        get(this.path, { limit: this.limit }), get("/v1/alert-channels"),
      ]);
      const text = JSON.stringify([answer, channels]);
      if (text === this.shown) return;
      this.shown = text;
      this.show(this.alerts(answer), channelsCard(channels));
    } catch (error) {
      this.show(h("p", { class: "say", role: "alert" }, error.message));
      this.shown = "";
    }
  }

  show(...content) {
    this.element.replaceChildren(h("h1", {}, "Alerts"), ...content);
  }

  alerts({ alerts, next }) {
    if (!alerts.length) return h("p", { class: "dim" }, "No alert has been raised yet.");
    const more = h("p", {}, h("button", { type: "button", class: "button", onclick: () => this.more() }, "More"));
    return h("section", { class: "card", id: "alerts" },
      table(COLUMNS, alerts.map(fromAlert).map(row), "Alerts, newest first"), next && this.limit < MOST ? more : null);
  }

  more() {
    this.limit = Math.min(MOST, this.limit + PAGE);
    this.refresh();
  }
}

new AlertsPage(document.body.dataset.alerts, document.getElementById("page")).start();
