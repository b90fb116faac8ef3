// Numbers, durations and sizes as people read them.

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** Four digits that matter; very small and very large numbers with an exponent. */
export function number(x) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return x.toExponential(2).replace("e+", "e");
  return size >= 1000 ? whole.format(x) : plain.format(x);
}

/** A number as short as the label of an axis must be. */
export function short(x) {
  const size = Math.abs(x);
  if (size >= 1000) return compact.format(x);
  if (size !== 0 && size < 1e-3) return x.toExponential(1).replace("e+", "e");
  return plain.format(x);
}

export const steps = (x) => (x >= 10000 ? compact.format(x) : whole.format(x));

/** Seconds: "8.2 s", "3 min 20 s", "2 h 5 min". */
export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? plain.format(Math.round(seconds * 10) / 10) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} days`;
}

/** How long ago a moment was, given in seconds since 1970. */
export function ago(moment) {
  const passed = Math.max(0, Date.now() / 1000 - moment);
  return passed < 5 ? "now" : `${duration(passed)} ago`;
}

export const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
export const bytes = (n) => (n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`);
