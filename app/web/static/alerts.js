// The alerts that were raised, newest first, and the channels that deliver them.

import { fromAlert, delivery } from "./alert.js";
import { get, repeat } from "./api.js";
import { h, table } from "./dom.js";
import { count, duration, moment, points, price } from "./format.js";
import { startFrame } from "./frame.js";
import { Live } from "./live.js";

const POLL_MS = 3000;
const PAGE = 100;
const COLUMNS = [
  { name: "bar (UTC)", text: true }, { name: "alert", text: true }, { name: "price" }, { name: "MACD-V" }, { name: "stage", text: true },
  { name: "bias", text: true }, { name: "state", text: true }, { name: "delivery", text: true },
];
const CHANNEL_COLUMNS = [
  { name: "channel", text: true }, { name: "kind", text: true }, { name: "state", text: true }, { name: "waiting" },
  { name: "done" }, { name: "dropped" }, { name: "paused for" }, { name: "last error", text: true },
];

const page = document.getElementById("page");
const path = document.body.dataset.alerts;
let asked = PAGE;
let shown = "";

function row(alert) {
  const link = `/product/${encodeURIComponent(alert.product)}?timeframe=${encodeURIComponent(alert.timeframe)}`;
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

function more() {
  asked = Math.min(500, asked + 100); // the API's limit for one page
  refresh();
}

async function read() {
  try {
    const [answer, { channels }] = await Promise.all([get(path, { limit: asked }), get("/v1/alert-channels")]);
    const text = JSON.stringify([answer, channels]);
    if (text === shown) return;
    shown = text;
    const alerts = answer.alerts.map(fromAlert);
    page.replaceChildren(h("h1", {}, "Alerts"), alerts.length
      ? h("section", { class: "card", id: "alerts" }, table(COLUMNS, alerts.map(row), "Alerts, newest first"),
        answer.next && asked < 500 ? h("p", {}, h("button", { type: "button", class: "button", onclick: more }, "More")) : null)
      : h("p", { class: "dim" }, "No alert has been raised yet."),
    channels.length ? h("section", { class: "card below", id: "channels" }, h("h2", {}, "Channels"),
      table(CHANNEL_COLUMNS, channels.map(channelRow), "Channels"))
      : h("p", { class: "dim" }, "No channel is configured: alerts are stored and shown, but not sent."));
  } catch (error) {
    page.replaceChildren(h("h1", {}, "Alerts"), h("p", { class: "say", role: "alert" }, error.message));
    shown = "";
  }
}

startFrame();
let refresh = () => {};
if (path) {
  refresh = repeat(read, () => POLL_MS);
  new Live({ kinds: "alert" }, () => refresh(), () => refresh());
} else {
  page.replaceChildren(h("h1", {}, "Alerts"), h("p", { class: "dim" }, "Alerts are not available on this server."));
}
