// The exchange's time as a page knows it, and which bucket is open or due then (`step`: seconds of a bucket).

const GRACE_S = 10; // exchange seconds that REST has for its answer

export class Clock {
  constructor() {
    this.nowS = null; // UNIX seconds; null until the exchange's time is known
    this.settlingS = 0; // exchange seconds from the end of a bucket until it has settled
  }

  set(exchangeMs) {
    this.nowS = exchangeMs === null ? null : exchangeMs / 1000;
  }

  /** The exchange's time is at least `seconds`. */
  reach(seconds) {
    this.nowS = Math.max(this.nowS ?? 0, seconds);
  }

  get isKnown() { return this.nowS !== null; }

  /** Start of the open bucket. */
  open(step) {
    return Math.floor(this.nowS / step) * step;
  }

  /** Start of the newest bucket that should be known by now; null while the exchange's time is not. */
  due(step) {
    // Whether a bucket had no trades is only known when it has settled; until then it is no gap.
    return this.isKnown ? Math.floor((this.nowS - this.settlingS - GRACE_S) / step) * step - step : null;
  }
}
