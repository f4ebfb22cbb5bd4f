// Formats numbers and times for people.

const DASH = "–";
const known = value => value !== null && value !== undefined && Number.isFinite(value);

/** How many decimals show the first five digits of a price. */
export function decimals(price) {
  if (!known(price) || price <= 0) return 2;
  return Math.min(10, Math.max(2, 4 - Math.floor(Math.log10(price))));
}

export function price(value) {
  if (!known(value)) return DASH;
  const digits = decimals(value);
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A fraction as a signed percentage. */
export function change(value) {
  return known(value) ? `${value >= 0 ? "+" : "−"}${Math.abs(value * 100).toFixed(2)} %` : DASH;
}

/** An indicator's value, with a true minus sign. */
export function points(value, digits = 1) {
  return known(value) ? value.toFixed(digits).replace("-", "−") : DASH;
}

export function count(value) {
  return known(value) ? value.toLocaleString("en-US") : DASH;
}

export function volume(value) {
  if (!known(value)) return DASH;
  return value.toLocaleString("en-US", { maximumSignificantDigits: 5, notation: value >= 1e6 ? "compact" : "standard" });
}

export function bytes(value) {
  if (!known(value)) return DASH;
  const unit = ["B", "KiB", "MiB", "GiB"][Math.min(3, Math.floor(Math.log2(Math.max(1, value)) / 10))];
  const size = value / { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[unit];
  return `${size >= 100 || unit === "B" ? size.toFixed(0) : size.toFixed(1)} ${unit}`;
}

/** A length of time in its two largest units: `45 s`, `3 m 20 s`, `5 h 2 m`, `2 d 3 h`. */
export function duration(seconds) {
  if (!known(seconds)) return DASH;
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** UNIX seconds as `2025-01-31 12:00` in UTC. */
export function moment(seconds, withSeconds = false) {
  if (!known(seconds)) return DASH;
  return new Date(seconds * 1000).toISOString().slice(0, withSeconds ? 19 : 16).replace("T", " ");
}
