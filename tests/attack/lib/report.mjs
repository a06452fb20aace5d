// The report of a run, as Markdown.
const cell = (text) => String(text).replaceAll('|', '\\|');
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
const ms = (value) => (value < 10 ? value.toFixed(1) : Math.round(value));
const list = (counts) => Object.entries(counts).map(([name, count]) => (count === 1 ? name : `${name} ×${count}`)).join(', ');

function rowOf(row, tried, report) {
  const reason = report.elsewhere[row.idea];
  if (reason !== undefined) return [`| ${cell(row.idea)} | ${cell(row.defence)} | not over HTTP: ${cell(reason)}. See ${row.test} | – | – | – |`];
  return tried.filter((one) => one.row === row.idea).map((one) => {
    const { requests, p50, p99, wrong } = one.near;
    const ratio = (value, of) => `${(value / of).toFixed(1)}×`;
    const near = `${requests} asked, ${wrong.length} wrong; p50 ${ms(p50)} ms (${ratio(p50, report.baseline.p50)}), p99 ${ms(p99)} ms (${ratio(p99, report.baseline.p99)})`;
    const outcome = one.problems.length === 0 ? list(one.outcomes) : `**FAILED** ${list(one.outcomes)}`;
    return `| ${cell(row.idea)} (\`${one.id}\`) | ${cell(row.defence)} | ${cell(outcome)} | ${one.blames.join(', ')} | ${ms(one.ms)} | ${near} |`;
  });
}

export function markdown(report, rows) {
  const { attacks, before, after, neighbour, baseline } = report;
  if (baseline === undefined || before === undefined) return `# The attacks, tried over HTTP\n\nThe run did not begin: ${report.problems.map(({ what }) => what).join('; ')}\n`;
  const overHttp = new Set(attacks.map(({ row }) => row));
  const lines = [
    '# The attacks, tried over HTTP', '',
    'Written by `make attack`: do not edit. Each row of [attacks.md](attacks.md) was tried on one running `lode serve` as a customer would, while a second app on it was asked 20 times a second.', '',
    `${report.begun.slice(0, 10)}; ${report.version}; ${report.machine}; ${Math.round(report.seconds)} s.`, '',
    `${attacks.length} attacks of ${overHttp.size} rows, ${attacks.reduce((sum, { answers }) => sum + answers, 0)} answers; ${Object.keys(report.elsewhere).length} rows are not over HTTP. ${report.problems.length === 0 ? 'Nothing was found.' : `**${report.problems.length} problems** (at the end).`}`, '',
    'Children that live on keep snapshots and pages for their next runs, within bounds (`lib/processes.mjs`); the server\'s own descriptors and the number of processes come back.', '',
    '| | Before | After |', '|---|---|---|',
    ...(after === undefined ? [] : [
      `| Memory (RSS; PSS) of server and children | ${mib(before.rss)}; ${mib(before.pss)} | ${mib(after.rss)}; ${mib(after.pss)} |`,
      `| Descriptors of the server; with its children | ${before.serverDescriptors}; ${before.descriptors} | ${after.serverDescriptors}; ${after.descriptors} |`, `| Processes below the server (two for each child) | ${before.children} | ${after.children} |`]), '',
    `The neighbour had ${neighbour?.requests} requests, ${neighbour?.wrong.length} of them wrong; alone p50 ${ms(baseline.p50)} ms and p99 ${ms(baseline.p99)} ms, beside all attacks p50 ${ms(neighbour?.p50 ?? 0)} ms and p99 ${ms(neighbour?.p99 ?? 0)} ms.`, '',
    'Outcome: what came back, by error name or status. Blame: whom the answers name; an answer without an error names none. Stop: the longest of its requests, in ms, from sent to answered. Neighbour: during the attack; in parentheses against its baseline.',
  ];
  let section;
  for (const row of rows) {
    if (row.section !== section) {
      section = row.section;
      lines.push('', `## ${section}`, '', '| Idea | Defence | Outcome | Blame | Stop | Neighbour |', '|---|---|---|---|---|---|');
    }
    lines.push(...rowOf(row, attacks, report));
  }
  if (report.problems.length > 0) lines.push('', '## Problems', '', ...report.problems.map(({ id, what }) => `- \`${id}\`: ${what.split('\n')[0].slice(0, 600)}`));
  return `${lines.join('\n')}\n`;
}
