// Formats an alert of the API for a chart and for a table. Pure.

import { points, price } from "./format.js";

/** The alert with `mark` (short, for a chart) and `up` (whether values are rising). */
export function fromAlert(alert) {
  return { ...alert, up: isUp(alert.event), mark: mark(alert) };
}

function isUp({ direction, zone, to }) {
  if (direction) return direction === "up";
  if (zone) return zone === "oversold"; // a reversal leads out of its zone
  return ["rebounding", "rallying", "overbought"].includes(to);
}

function mark({ kind, event }) {
  if (kind === "level") return points(event.level, 0);
  if (kind === "price") return price(event.price);
  return kind === "stage" ? event.to : "reversal";
}

/** The delivery of its messages: `discord sent, team waiting`; a dash if it has no channel. */
export function delivery(alert) {
  const rows = Object.entries(alert.deliveries).flatMap(([channel, kinds]) =>
    Object.entries(kinds).map(([kind, outcome]) => `${channel}${kind === "raised" ? "" : ` (${kind})`} ${outcome.state}`));
  return rows.join(", ") || "–";
}
