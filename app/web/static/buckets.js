// A browser opens at most six connections to a server, for all of its windows, and each stream holds one of them.
// So a few windows have streams; the others poll until a stream is closed.

const SLOTS = 4;

/**
 * Wait for a slot for this window. Resolves to a function that releases it; never, if `signal` is aborted before; at
 * once, if the browser has no locks (over HTTP from another machine).
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
