// What is made of measurements, the same for all comparisons.

/** The middle one; the upper one of two. */
export const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** The quantile `q` of numbers in ascending order, by nearest rank: one of those that were measured, never between two. */
export const quantile = (sorted, q) => sorted[Math.max(0, Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1))];

export function round(value, digits = 2) {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}

/** p50 and p99 in µs of latencies in ns. */
export function latencies(nanoseconds) {
  const sorted = Float64Array.from(nanoseconds).sort();
  return { p50_us: round(quantile(sorted, 0.5) / 1000, 0), p99_us: round(quantile(sorted, 0.99) / 1000, 0) };
}

/** The median over rounds of what two systems did in the same round: those are of the same minutes, medians need not be. */
export const ratioOf = (ours, theirs) => round(median(ours.map((value, i) => value / theirs[i])));

/** The order of a round: the other way round each second time, for whoever comes later finds another machine. */
export const ordered = (systems, round) => (round % 2 ? systems.toReversed() : systems);

/** Medians of each of `figures` over rows that may lack some of them. */
export function medians(rows, figures) {
  const found = {};
  for (const figure of figures) {
    const values = rows.map((row) => row[figure]).filter((value) => typeof value === 'number');
    if (values.length > 0) found[figure] = median(values);
  }
  return found;
}
