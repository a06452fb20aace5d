// A throw-away PostgreSQL server: in a temporary directory, on a Unix socket in it, gone with the test.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { end, remove, temporaryDirectory, tie } from './files.mjs';

const MISSING = 'PostgreSQL\'s initdb and postgres are missing, which these tests run against: '
  + 'install them (Debian, Ubuntu: apt-get install postgresql, or scripts/setup.sh)';

/** Where initdb and postgres are. */
export function binaries() {
  const told = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  const places = told.status === 0 ? [told.stdout.trim()] : [];
  // Debian keeps each version in a place of its own, outside of PATH.
  const versions = '/usr/lib/postgresql';
  if (existsSync(versions)) {
    const newest = readdirSync(versions).sort((a, b) => Number(b) - Number(a));
    places.push(...newest.map((version) => path.join(versions, version, 'bin')));
  }
  places.push(...(process.env.PATH ?? '').split(':'));
  const found = places.find((place) => ['initdb', 'postgres'].every((name) => existsSync(path.join(place, name))));
  if (found === undefined) throw new Error(MISSING);
  return found;
}

/** PostgreSQL refuses to run as root: whom it runs as then. */
function serverUser() {
  if (process.getuid() !== 0) return null;
  const users = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const user = users.find((fields) => fields[0] === name);
    if (user !== undefined) return { uid: Number(user[2]), gid: Number(user[3]) };
  }
  throw new Error('there is no user to run PostgreSQL as');
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `settings`: for the server, such as `fsync=off`. `tcp`: on loopback, too. */
export async function startPostgres({ settings = ['fsync=off'], tcp = false } = {}) {
  const bin = binaries();
  const directory = temporaryDirectory('pg');
  const user = serverUser();
  const as = user === null ? {} : user;
  if (user !== null) chownSync(directory, user.uid, user.gid);
  const data = path.join(directory, 'data');
  execFileSync(path.join(bin, 'initdb'), [
    '--username=lode', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions',
    '-D', data,
  ], { ...as, cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const port = tcp ? await freePort() : 5432;
  const options = ['-D', data, '-k', directory, '-c', `listen_addresses=${tcp ? '127.0.0.1' : ''}`, '-c', `port=${port}`,
    '-c', 'max_connections=200'];
  for (const setting of settings) options.push('-c', setting);
  const log = openSync(path.join(directory, 'log'), 'a');
  const server = tie(spawn(path.join(bin, 'postgres'), options, { ...as, cwd: directory, stdio: ['ignore', log, log] }));
  closeSync(log);
  const logged = () => readFileSync(path.join(directory, 'log'), 'utf8');
  // Its tools speak its protocol: no client library is needed for the two things asked here.
  const psql = (database, sql) => spawnSync(path.join(bin, 'psql'),
    ['-h', directory, '-p', String(port), '-U', 'lode', '-d', database, '-qAt', '-c', sql], { encoding: 'utf8' });
  for (let tries = 0; psql('postgres', 'SELECT 1').status !== 0; tries++) {
    // Two minutes: a machine that starts a server slower than that has other troubles.
    if (server.exitCode !== null || tries === 1200) throw new Error(`PostgreSQL does not answer:\n${logged()}`);
    await pause(100);
  }
  let databases = 0;
  return {
    pid: server.pid,
    directory,
    port,
    logged,
    /** The URL of a new, empty database. */
    database() {
      const name = `test_${++databases}`;
      const made = psql('postgres', `CREATE DATABASE ${name}`);
      if (made.status !== 0) throw new Error(`CREATE DATABASE: ${made.stderr}`);
      return tcp ? `postgres://lode@127.0.0.1:${port}/${name}`
        : `postgres://lode@${directory.replaceAll('/', '%2F')}/${name}`;
    },
    async stop() {
      // "Fast shutdown": open connections are ended.
      await end(server, 'SIGINT');
      remove(directory);
    },
  };
}
