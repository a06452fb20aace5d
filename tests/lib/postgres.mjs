// A throw-away PostgreSQL server: in a temporary directory, on a Unix socket in it, gone with the test.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chownSync, existsSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { end, remove, temporaryDirectory, tie } from './files.mjs';
import { freePort, inside } from './network.mjs';

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

/**
 * `settings`: for the server, such as `fsync=off`. `tcp`: on loopback, too. `host` of `network.mjs`: in its namespace, at
 * its address, for all of its network.
 */
export async function startPostgres({ settings = ['fsync=off'], tcp = false, host } = {}) {
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
  const address = host?.address ?? (tcp ? '127.0.0.1' : undefined);
  const port = address === '127.0.0.1' ? await freePort() : 5432;
  if (host !== undefined) appendFileSync(path.join(data, 'pg_hba.conf'), 'host all all samenet trust\n');
  const options = ['-D', data, '-k', directory, '-c', `listen_addresses=${address ?? ''}`, '-c', `port=${port}`,
    '-c', 'max_connections=200'];
  for (const setting of settings) options.push('-c', setting);
  const log = openSync(path.join(directory, 'log'), 'a');
  const [command, ...rest] = inside(host?.namespace, [path.join(bin, 'postgres'), ...options], user);
  // Only root enters a namespace: the command itself becomes the user then.
  const who = host === undefined ? as : {};
  const server = tie(spawn(command, rest, { ...who, cwd: directory, stdio: ['ignore', log, log] }));
  closeSync(log);
  const logged = () => readFileSync(path.join(directory, 'log'), 'utf8');
  // Its tools speak its protocol: no client library is needed for the two things asked here.
  const psql = (database, sql) => spawnSync(path.join(bin, 'psql'),
    ['-h', directory, '-p', String(port), '-U', 'lode', '-d', database, '-qAt', '-c', sql], { encoding: 'utf8', maxBuffer: 1 << 28 });
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
      return address !== undefined ? `postgres://lode@${address}:${port}/${name}`
        : `postgres://lode@${directory.replaceAll('/', '%2F')}/${name}`;
    },
    /** What a query says in a database that `database` made: rows of columns. */
    ask(url, sql) {
      const done = psql(url.slice(url.lastIndexOf('/') + 1), sql);
      if (done.status !== 0) throw new Error(`${sql}: ${done.stderr}`);
      return done.stdout.split('\n').filter((line) => line !== '').map((line) => line.split('|'));
    },
    async stop() {
      // "Fast shutdown": open connections are ended.
      await end(server, 'SIGINT');
      remove(directory);
    },
  };
}
