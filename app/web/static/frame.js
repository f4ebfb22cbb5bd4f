// The frame of every page: summary of the data's state, exchange's clock, progress of the initial backfill.

import { get, repeat } from "./api.js";
import { setText } from "./dom.js";
import { moment } from "./format.js";

const EVERY_MS = 2000;
const CLOCK_OLD_S = 15;

const by = id => document.getElementById(id);

/** Keep the frame current; `onSummary` gets each answer. */
export function startFrame(onSummary = () => {}) {
  repeat(async () => {
    try {
      const summary = await get("/v1/summary");
      show(summary);
      onSummary(summary);
    } catch (error) {
      say(error.message, false);
      document.body.dataset.server = "away";
    }
  }, () => EVERY_MS);
}

function show(summary) {
  document.body.dataset.server = "there";
  say(summary.summary, summary.ready);
  const heard = summary.exchange_ms !== null;
  const old = heard && summary.clock_age_real_seconds > CLOCK_OLD_S;
  const [date, time] = heard ? moment(summary.exchange_ms / 1000, true).split(" ") : ["", ""];
  setText(by("date"), date);
  setText(by("time"), heard ? `${time} UTC` : "");
  by("clock").classList.toggle("bad", old);
  const [text, state] = feed(summary.connected, document.body.dataset.live);
  setText(by("live"), text);
  by("live").dataset.state = state;
  progress(summary.start);
}

/** Text and state of the dot in the header; a page without a stream has no `live`. */
function feed(connected, live) {
  if (!connected) return ["feed down", "down"];
  return { stream: ["live", "live"], poll: ["polling", "poll"] }[live] ?? ["feed up", "live"];
}

function say(text, ready) {
  setText(by("summary"), text);
  by("summary").classList.toggle("ready", ready);
}

function progress(start) {
  const under_way = start.requests_left > 0;
  by("start").hidden = !under_way;
  if (!under_way) return;
  const bar = by("start").querySelector("progress");
  bar.max = start.series_total;
  bar.value = start.series_total - start.requests_left;
  bar.setAttribute("aria-label", "Progress of the initial backfill");
  setText(by("start").querySelector("span"), `Initial backfill: ${start.text}`);
}
