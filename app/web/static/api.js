// Requests to the API. Every error is an `ApiError` with a message for people.

/** The address of the overview without its slash. Not the page's: that may contain a user and a password, which a request must not. */
export const ROOT = location.origin + new URL("..", import.meta.url).pathname.slice(0, -1);

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON at `path` with `query`; `undefined` parameters are left out. */
export async function get(path, query = {}) {
  const told = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const url = ROOT + path + (told.length ? `?${new URLSearchParams(told)}` : "");
  let answer;
  try {
    answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  } catch {
    throw new ApiError(0, "The server cannot be reached; this page retries.");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, body.error?.message ?? `The server answered ${answer.status}.`);
  return body;
}

/**
 * Run `work` now, then `everyMs` after it has ended, but only while the page is visible. Returns a function that runs
 * it at once (or once more, if it is running).
 */
export function repeat(work, everyMs) {
  let timer = 0, running = false, again = false;
  const run = async () => {
    if (running) { again = true; return; }
    running = true;
    clearTimeout(timer);
    try {
      do { again = false; await work(); } while (again);
    } finally { running = false; }
    if (!document.hidden) timer = setTimeout(run, everyMs());
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); });
  run();
  return run;
}
