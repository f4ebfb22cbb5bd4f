// An alert as the API tells of it, in the words of a chart and of a table.

import { points } from "./format.js";

/** The alert with `text` (short, for a chart), `up` (towards higher values) and `note` (what happened since). */
export function fromAlert(alert) {
  const detail = alert.event && typeof alert.event === "object" ? alert.event : {};
  const level = alert.level ?? detail.level ?? null;
  const direction = alert.direction ?? detail.direction ?? (alert.histogram >= 0 ? "up" : "down");
  const note = alert.withdrawn ? "withdrawn after a correction" : alert.confirmed ? "confirmed" : "";
  return { ...alert, level, up: /up|bull|above/.test(direction), direction, note, text: short(alert, level) };
}

function short(alert, level) {
  return level === null ? String(alert.kind ?? alert.rule ?? "alert") : points(level, 0);
}

/** What became of its messages, in a few words. */
export function delivery(alert) {
  const told = alert.deliveries ?? alert.delivery ?? alert.state ?? null;
  if (told === null) return "–";
  if (typeof told === "string") return told;
  const rows = Array.isArray(told) ? told : Object.entries(told).map(([channel, state]) => ({ channel, state }));
  return rows.map(row => `${row.channel ?? row.name ?? ""} ${row.state?.state ?? row.state ?? row.status ?? ""}`.trim()).join(", ") || "–";
}
