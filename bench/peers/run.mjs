// Times the workloads in other sandboxes. See README.md.
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { circumstances, isQuick, loadAverage, machine } from '../lib/results.mjs';
import { installedVersion, peers } from './peers.mjs';
import { table } from './table.mjs';
import { loadWorkload, names } from './workloads.mjs';

const USAGE = 'usage: node run.mjs --out FILE [--ms N] [--only peer,…] [--workload a,b]';

function options() {
  const { values } = parseArgs({
    options: { out: { type: 'string' }, ms: { type: 'string' }, only: { type: 'string' }, workload: { type: 'string' } },
  });
  const usage = (problem) => new Error(`${problem}\n${USAGE}`);
  const chosen = (list, all) => {
    const picked = list === undefined ? all : list.split(',');
    const unknown = picked.filter((name) => !all.includes(name));
    if (unknown.length > 0) throw usage(`unknown: ${unknown.join()} (there are: ${all.join()})`);
    return picked;
  };
  const ms = Number(values.ms ?? (isQuick() ? 40 : 400));
  if (values.out === undefined) throw usage('--out is missing');
  if (!(ms > 0)) throw usage('--ms must be a positive number');
  return { out: values.out, ms, peers: chosen(values.only, Object.keys(peers)), workloads: chosen(values.workload, names) };
}

/** Runs one cell in a process of its own; whatever becomes of it, there is an answer. */
function cell(job) {
  const child = fork(new URL('cell.mjs', import.meta.url), { execArgv: peers[job.peer].nodeFlags ?? [] });
  const patience = 30_000 + job.ms * 20;
  return new Promise((resolve) => {
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      resolve({ error: `no answer in ${patience} ms` });
    }, patience);
    child.once('message', resolve);
    child.once('error', (error) => resolve({ error: error.message }));
    child.once('exit', (code, signal) => {
      clearTimeout(deadline);
      resolve({ error: `process ended without an answer (${signal ?? `exit code ${code}`})` });
    });
    child.send(job);
  });
}

async function reference(workload) {
  const answer = await cell({ peer: 'node-vm', mode: 'fresh-context', workload, ms: 0, referenceOnly: true });
  if (answer.error !== undefined) throw new Error(`${workload} fails in Node vm: ${answer.error}`);
  return answer.result;
}

async function measurePeer(name, workloads, expected, ms) {
  const peer = peers[name];
  const version = installedVersion(peer);
  if (version === null) return [{ peer: name, skipped: `${peer.package} is not installed` }];
  const { error } = await cell({ peer: name, loadOnly: true, ms });
  if (error !== undefined) return [{ peer: name, skipped: `${peer.package} does not load: ${error}` }];
  const results = [];
  for (const [mode, { note }] of Object.entries(peer.modes)) {
    process.stderr.write(`${name} ${mode}\n`);
    for (const workload of workloads) {
      const answer = await cell({ peer: name, mode, workload, ms, expected: expected[workload] });
      results.push({ peer: name, version, mode, workload, ...answer, note });
    }
  }
  return results;
}

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

async function main() {
  const { out, ms, peers: chosenPeers, workloads } = options();
  const before = loadAverage();
  const expected = {};
  const described = {};
  for (const workload of workloads) {
    const { request } = loadWorkload(workload);
    expected[workload] = await reference(workload);
    described[workload] = {
      request_bytes: Buffer.byteLength(request),
      result_bytes: Buffer.byteLength(expected[workload]),
      result_sha256: sha256(expected[workload]),
    };
  }
  const results = [];
  for (const peer of chosenPeers) results.push(...await measurePeer(peer, workloads, expected, ms));
  writeFileSync(out, `${JSON.stringify({ machine: machine(), ...circumstances(before), ms_per_cell: ms, workloads: described, results }, null, 1)}\n`);
  process.stderr.write(`\n${table(results)}\n`);
  if (results.some((row) => row.error !== undefined)) process.exitCode = 1;
}

main().catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
});
