// The human side of the report.
const HEADER = ['', 'mode', 'p50 µs', 'p99 µs', 'min µs', 'runs/s', 'samples', 'RSS MB'];

function digits(value) {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 });
}

function cells(row) {
  if (row.error !== undefined) return [row.peer, row.mode, `error: ${row.error}`];
  const numbers = [row.p50_us, row.p99_us, row.min_us, row.runs_per_s, row.samples, row.rss_mb];
  return [row.peer, row.mode, ...numbers.map(digits)];
}

export function table(results) {
  const lines = [];
  const measured = results.filter((row) => row.workload !== undefined);
  for (const workload of new Set(measured.map((row) => row.workload))) {
    const rows = [HEADER, ...measured.filter((row) => row.workload === workload).map(cells)];
    rows[0] = [workload, ...HEADER.slice(1)];
    for (const row of rows) {
      const [peer, mode, ...rest] = row;
      const numbers = rest.length === 1 ? `  ${rest[0]}` : rest.map((text) => text.padStart(10)).join('');
      lines.push(peer.padEnd(23) + mode.padEnd(24) + numbers);
    }
    lines.push('');
  }
  for (const row of results) {
    if (row.skipped !== undefined) lines.push(`${row.peer}: skipped: ${row.skipped}`);
  }
  return lines.join('\n');
}
