// What the journal says: the promises that were broken, and a table of what became of the requests.

const OK = { save: 201, call: 200, later: 202 };
/** The platform's failures; all others blame somebody who has done nothing wrong here. */
const OURS = ['KinveyInternalErrorRetry', 'BLInternalError', 'KinveyInternalErrorStop', 'TooManyRequests'];

function errorOf(body) {
  try {
    return JSON.parse(body).error;
  } catch {
    return undefined;
  }
}

const group = (list, key) => {
  const groups = new Map();
  for (const item of list) {
    const of = key(item);
    if (!groups.has(of)) groups.set(of, []);
    groups.get(of).push(item);
  }
  return groups;
};

/**
 * `lines`: the journal's. `killed`: the API hosts that were killed. `budgetMs`: when an answer is due. `saved`: ids of
 * the orders that are in the database. `kept`: the effects that are there. `tasks`: what the platform says of its
 * asynchronous tasks, `{id, state, tries}`.
 */
export function judge({ lines, killed, budgetMs, saved, kept, tasks }) {
  const broken = [];
  const of = (what) => lines.filter((line) => line.what === what);
  const sent = new Map(of('sent').map((line) => [line.id, line]));
  const ends = group([...of('answered'), ...of('broken')], ({ id }) => id);
  // A machine that runs all of this at once is late by itself.
  const due = budgetMs + 2000;

  for (const [id, request] of sent) {
    const [end, ...more] = ends.get(id) ?? [];
    if (end === undefined || more.length > 0) {
      broken.push(`${id} has ${more.length + (end === undefined ? 0 : 1)} endings`);
      continue;
    }
    const isKilled = killed.some(({ host, at }) => host === request.host && end.at >= at);
    if (end.what === 'broken' && !isKilled) broken.push(`${id} was not answered by ${request.host}: ${end.error}`);
    if (end.what === 'answered') {
      if (end.at - request.at > due) broken.push(`${id} was answered after ${end.at - request.at} ms of ${budgetMs}`);
      const isOurs = [429, 500, 503, 550].includes(end.status) && OURS.includes(errorOf(end.body));
      if (end.status !== OK[request.kind] && !isOurs) broken.push(`${id} got ${end.status} ${end.body}`);
    }
  }

  const ok = [...sent.values()].filter((request) => {
    const end = ends.get(request.id)?.[0];
    return end?.what === 'answered' && end.status === OK[request.kind];
  });

  // At most once: no run twice; and what was answered as done was done.
  const effects = group(of('effect'), ({ kind, id }) => `${kind} ${id}`);
  const keptEffects = group(kept, ({ kind, id }) => `${kind} ${id}`);
  for (const [where, all] of [['the journal', effects], ['the collection', keptEffects]]) {
    for (const [name, list] of all) {
      const [kind] = name.split(' ');
      if (['pre', 'post', 'call'].includes(kind) && list.length > 1) broken.push(`${name} happened ${list.length} times (${where})`);
    }
    for (const { kind, rid } of ok) {
      for (const effect of { save: ['pre', 'post'], call: ['call'], later: [] }[kind]) {
        if (!all.has(`${effect} ${rid}`)) broken.push(`${effect} ${rid} was answered as done, and is not in ${where}`);
      }
    }
  }
  for (const { kind, rid } of ok) if (kind === 'save' && !saved.has(rid)) broken.push(`${rid} was acknowledged and is not in the database`);

  // At least once: each acknowledged task was done, by one task per key; once, unless a try was lost.
  const taskOf = new Map();
  for (const { kind, id, rid } of ok) {
    if (kind !== 'later') continue;
    const { taskId } = JSON.parse(ends.get(id)[0].body);
    if (typeof taskId !== 'string') broken.push(`${id} has no taskId`);
    const known = taskOf.get(rid);
    if (known !== undefined && known !== taskId) broken.push(`${rid} became two tasks, ${known} and ${taskId}`);
    taskOf.set(rid, taskId);
  }
  const told = new Map(tasks.map((task) => [task.id, task]));
  let again = 0;
  for (const [rid, taskId] of taskOf) {
    const began = effects.get(`began ${rid}`) ?? [];
    const done = effects.get(`done ${rid}`) ?? [];
    const task = told.get(taskId);
    if (done.length === 0) broken.push(`${rid} was acknowledged as ${taskId} and never done (${JSON.stringify(task)})`);
    for (const line of [...began, ...done]) if (line.taskId !== taskId) broken.push(`${rid} ran as ${line.taskId}, not as ${taskId}`);
    const runs = new Set(began.map(({ run }) => run)).size;
    if (runs > 1) again++;
    if (done.length > runs) broken.push(`${rid} was done ${done.length} times in ${runs} runs`);
    if (task?.tries !== undefined && runs > task.tries) broken.push(`${rid} ran ${runs} times, in ${task.tries} tries`);
    if (!keptEffects.has(`done ${rid}`)) broken.push(`${rid} is not in the collection`);
  }

  // What happened between one event and the next.
  const events = of('event');
  const rows = events.map(({ name, at }, i) => {
    const until = events[i + 1]?.at ?? Infinity;
    const phase = [...sent.values()].filter((request) => request.at >= at && request.at < until);
    const row = { name, from: at, sent: phase.length, ok: 0, ours: 0, full: 0, other: 0, unanswered: 0, slowest: 0 };
    for (const request of phase) {
      const end = ends.get(request.id)?.[0];
      if (end?.what !== 'answered') {
        row.unanswered++;
        continue;
      }
      row.slowest = Math.max(row.slowest, end.at - request.at);
      if (end.status === OK[request.kind]) row.ok++;
      else if (end.status === 429) row.full++;
      else if (OURS.includes(errorOf(end.body))) row.ours++;
      else row.other++;
    }
    return row;
  });
  return { broken, rows, acknowledged: ok.length, tasks: taskOf.size, again };
}

export function table({ rows, acknowledged, tasks, again }) {
  const head = ['from, s', 'after', 'sent', 'done', 'retry', '429', 'other', 'unanswered', 'slowest, ms'];
  const body = rows.map((row) => [
    (row.from / 1000).toFixed(1), row.name, row.sent, row.ok, row.ours, row.full, row.other, row.unanswered, row.slowest,
  ].map(String));
  const widths = head.map((title, i) => Math.max(title.length, ...body.map((cells) => cells[i].length)));
  const line = (cells) => cells.map((cell, i) => (i === 1 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  return [line(head), ...body.map(line), '',
    `${acknowledged} requests done; ${tasks} asynchronous tasks, ${again} of them run more than once`].join('\n');
}
