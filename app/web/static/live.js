// Live events from the stream, if there is one, and whether it is open.

import { ROOT } from "./api.js";
import { slot } from "./buckets.js";

const KINDS = ["close", "correction", "indicator", "alert", "forming"];

export class Live {
  /** `filter`: query of the stream, `{products, timeframes, kinds}`. `onEvent(kind, data)`; `onLost()` if events may be lost. */
  constructor(filter, onEvent, onLost) {
    this.isOpen = false;
    this.onEvent = onEvent;
    this.onLost = onLost;
    this.path = document.body.dataset.stream;
    if (!this.path) return;
    this.url = `${ROOT}${this.path}?${new URLSearchParams(filter)}`;
    this.open();
    // A phone that sleeps keeps no connection; a hidden page needs none.
    this.ended = new AbortController();
    const { signal } = this.ended;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()), { signal });
    addEventListener("pagehide", () => this.close(), { signal });
    addEventListener("pageshow", () => this.open(), { signal });
  }

  /** Close it permanently. */
  end() {
    this.ended?.abort();
    this.close();
  }

  async open() {
    if (!this.path || this.source || this.waiting) return;
    const waiting = this.waiting = new AbortController();
    const giveBack = await slot(waiting.signal);
    if (waiting.signal.aborted) { giveBack(); return; }
    this.giveBack = giveBack;
    this.source = new EventSource(this.url);
    this.source.addEventListener("open", () => { this.show(true); this.onLost(); });
    this.source.addEventListener("error", () => this.failed());
    for (const kind of KINDS) this.source.addEventListener(kind, event => this.received(kind, event));
    this.source.addEventListener("gap", () => this.onLost()); // events are no longer kept
  }

  close() {
    this.waiting?.abort();
    this.source?.close();
    this.giveBack?.();
    this.waiting = this.source = this.giveBack = null;
    clearTimeout(this.retry);
    this.isOpen = false;
  }

  received(kind, event) {
    let data;
    try { data = JSON.parse(event.data); } catch { return; }
    if (data && typeof data === "object") this.onEvent(kind, data);
  }

  failed() {
    this.show(false);
    // The browser reconnects, except after an answer that is not a stream.
    if (this.source?.readyState !== EventSource.CLOSED) return;
    this.close();
    this.retry = setTimeout(() => this.open(), 5000);
  }

  show(isOpen) {
    this.isOpen = isOpen;
    document.body.dataset.live = isOpen ? "stream" : "poll";
  }
}
