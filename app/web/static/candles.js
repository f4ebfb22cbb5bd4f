// One series: its candles by bucket, and its gaps. Pure.

export class Candles {
  constructor(step) {
    this.step = step;
    this.by = new Map();
  }

  /** Add `rows`, replacing older ones; returns the rows that are new or different. */
  take(rows) {
    const changed = rows.filter(row => !same(this.by.get(row.start), row));
    for (const row of changed) this.by.set(row.start, row);
    return changed;
  }

  /** Remove candles between the first and last of `rows` that `rows` does not have. Returns whether any was. */
  forget(rows) {
    if (!rows.length) return false;
    const there = new Set(rows.map(row => row.start));
    const gone = [...this.by.keys()].filter(start => start >= rows[0].start && !there.has(start)
      && start <= rows.at(-1).start);
    for (const start of gone) this.by.delete(start);
    return gone.length > 0;
  }

  get first() { return this.by.size ? Math.min(...this.by.keys()) : null; }
  get last() { return this.by.size ? Math.max(...this.by.keys()) : null; }

  /** Every bucket from the first to the last one, or to `until`: a candle, or `{start}` if it is missing. */
  buckets(until = null) {
    if (!this.by.size) return [];
    const last = Math.max(this.last, until ?? 0), all = [];
    for (let start = this.first; start <= last; start += this.step) all.push(this.by.get(start) ?? { start });
    return all;
  }

  /** Runs of missing candles: `[first, last]` each. */
  gaps(until = null) {
    const runs = [];
    for (const bucket of this.buckets(until)) {
      if (isKnown(bucket)) continue;
      const run = runs.at(-1);
      if (run && run[1] === bucket.start - this.step) run[1] = bucket.start;
      else runs.push([bucket.start, bucket.start]);
    }
    return runs;
  }
}

export const isKnown = bucket => bucket.close !== undefined;

/** Labels for the state of a bucket. */
export function words(bucket) {
  if (!isKnown(bucket)) return ["gap: no candle yet"];
  return [bucket.state, bucket.trades ? null : "no trades", bucket.corrected ? "corrected" : null].filter(Boolean);
}

/** The forming candle of a longer bucket, from the candles of the short ones in it; null if there are none. */
export function formingOf(rows, start, step) {
  const inside = rows.filter(row => row.start >= start && row.start < start + step).sort((a, b) => a.start - b.start);
  if (!inside.length) return null;
  return {
    start, open: inside[0].open, close: inside.at(-1).close,
    high: Math.max(...inside.map(row => row.high)), low: Math.min(...inside.map(row => row.low)),
    volume: inside.reduce((sum, row) => sum + row.volume, 0),
    trades: inside.some(row => row.trades), state: "forming", corrected: false,
  };
}

const FIELDS = ["open", "high", "low", "close", "volume", "trades", "state", "corrected"];

function same(a, b) {
  return a !== undefined && FIELDS.every(field => a[field] === b[field]);
}
