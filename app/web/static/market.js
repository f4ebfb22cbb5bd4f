// Colours, search and order of the overview's rows. Pure.

/** Zone of a MACD-V for its colour: −3 … 3, or `none`. The limits are the limits of the stages. */
export function heat(value) {
  if (value === null || value === undefined) return "none";
  const zone = [10, 50, 150].filter(limit => Math.abs(value) > limit).length;
  return String(value < 0 ? -zone : zone);
}

/** Whether candles newer than `start` are overdue. `answer` has the exchange's time. */
export function isStale(start, seconds, answer) {
  if (start === null || answer.exchange_ms === null) return false;
  return answer.exchange_ms / 1000 - start - seconds > 2 * seconds + answer.settling_seconds;
}

/** Rows whose product contains every word of `text`. */
export function bySearch(rows, text) {
  const words = text.toUpperCase().split(/\s+/).filter(Boolean);
  return rows.filter(row => words.every(word => row.product.includes(word)));
}

/** `rows`, sorted; rows without a value come last in both directions. */
export function bySort(rows, key, down) {
  const of = row => (key in row.latest ? row.latest[key]?.macdv : row[key]) ?? null;
  const sign = down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const x = of(a), y = of(b);
    if (x === null || y === null) return (x === null) - (y === null) || (a.product < b.product ? -1 : 1);
    return x === y ? (a.product < b.product ? -1 : 1) : x < y ? -sign : sign;
  });
}
