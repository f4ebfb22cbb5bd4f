// The alerts that were raised, newest first.

import { fromAlert, delivery } from "./alert.js";
import { get, repeat } from "./api.js";
import { h, table } from "./dom.js";
import { moment, points, price } from "./format.js";
import { startFrame } from "./frame.js";
import { Live } from "./live.js";

const POLL_MS = 3000;
const COLUMNS = [
  { name: "bar (UTC)", text: true }, { name: "product", text: true }, { name: "timeframe", text: true },
  { name: "alert", text: true }, { name: "price" }, { name: "MACD-V" }, { name: "stage", text: true },
  { name: "bias", text: true }, { name: "delivery", text: true },
];

const page = document.getElementById("page");
const path = document.body.dataset.alerts;
let shown = "";

function row(alert) {
  const link = `/product/${encodeURIComponent(alert.product)}?timeframe=${encodeURIComponent(alert.timeframe)}`;
  return [
    moment(alert.start), h("a", { href: link }, alert.product), alert.timeframe,
    h("span", { class: alert.up ? "up" : "down" }, `${alert.up ? "▲" : "▼"} ${what(alert)}`),
    price(alert.price), points(alert.macdv), alert.stage ?? "–", alert.bias ?? "–",
    [delivery(alert), alert.note].filter(text => text && text !== "–").join(" · ") || "–",
  ];
}

function what(alert) {
  const kind = String(alert.rule ?? alert.kind ?? "alert").replaceAll("_", " ");
  return alert.level === null ? kind : `${kind} ${points(alert.level, 0)}`;
}

async function read() {
  try {
    const answer = await get(path);
    const text = JSON.stringify(answer);
    if (text === shown) return;
    shown = text;
    const alerts = (answer.alerts ?? []).map(fromAlert);
    page.replaceChildren(h("h1", {}, "Alerts"), alerts.length
      ? h("div", { class: "card wide" }, table(COLUMNS, alerts.map(row), "Alerts, newest first"))
      : h("p", { class: "dim" }, "No alert has been raised yet."));
  } catch (error) {
    page.replaceChildren(h("h1", {}, "Alerts"), h("p", { class: "say", role: "alert" }, error.message));
    shown = "";
  }
}

startFrame();
if (path) {
  const refresh = repeat(read, () => POLL_MS);
  new Live({ kinds: "alert" }, () => refresh(), () => refresh());
} else {
  page.replaceChildren(h("h1", {}, "Alerts"), h("p", { class: "dim" }, "Alerts are not part of this installation."));
}
