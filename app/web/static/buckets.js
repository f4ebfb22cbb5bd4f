// A browser keeps six connections to a server, over all of its windows, and a stream takes one for as long as it lasts.
// So a few windows have streams, and the others ask now and then until one of those is closed.

const SLOTS = 4;

/**
 * Resolves, once there is a slot for this window, to what gives it back; never, if `signal` is aborted before. Where a
 * browser has no locks (over HTTP from another machine), at once.
 */
export function slot(signal) {
  if (!navigator.locks) return Promise.resolve(() => {});
  return new Promise(got => {
    const others = new AbortController();
    signal.addEventListener("abort", () => others.abort());
    let isMine = false;
    const take = () => {
      if (isMine || signal.aborted) return undefined;
      isMine = true;
      others.abort();
      return new Promise(giveBack => got(giveBack));
    };
    for (let i = 0; i < SLOTS; i++)
      navigator.locks.request(`candlewick stream ${i}`, { signal: others.signal }, take).catch(() => {});
  });
}
