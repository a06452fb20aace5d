// Adds to a file of results what its program does not say: `node annotate.mjs FILE "LOAD AVERAGE BEFORE"`, as
// /proc/loadavg has it.
import { readFileSync, writeFileSync } from 'node:fs';
import { circumstances, machine } from './results.mjs';

const [file, before] = process.argv.slice(2);
const report = JSON.parse(readFileSync(file, 'utf8'));
const load = before.split(' ').slice(0, 3).map(Number);
writeFileSync(file, `${JSON.stringify({ machine: machine(), ...circumstances(load), ...report }, null, 1)}\n`);
