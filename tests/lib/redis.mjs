// A throw-away Redis server: a real one, in a temporary directory, gone with the test.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { setTimeout as pause } from 'node:timers/promises';
import { end, remove, temporaryDirectory, tie } from './files.mjs';
import { freePort, inside } from './network.mjs';

const MISSING = 'redis-server is missing, which these tests run against: '
  + 'install it (Debian, Ubuntu: apt-get install redis-server, or scripts/setup.sh)';

/** An authority of our own and a certificate that it gave to `address`: their files' paths. */
export function makeCertificates(address) {
  const directory = temporaryDirectory('tls');
  const at = (name) => path.join(directory, name);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
  const names = net.isIP(address) === 0 ? `DNS:${address}` : `IP:${address}`;
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=Authority of a test', '-keyout', 'ca.key', '-out', 'ca.pem');
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
    '-subj', `/CN=${address}`, '-keyout', 'server.key', '-out', 'server.csr');
  writeFileSync(at('extensions'), `subjectAltName=${names},DNS:localhost\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`);
  openssl('x509', '-req', '-days', '2', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
    '-extfile', 'extensions', '-out', 'server.pem');
  return { directory, authority: at('ca.pem'), certificate: at('server.pem'), key: at('server.key') };
}

/**
 * Starts one. `host`: the address it listens on. `namespace`: the network namespace it is in (network.mjs).
 * `password`: of the default user. `acl`: lines of an ACL file, such as `user lode on >secret ~* &* +@all`; the
 * default user is then off unless a line is about it. `tls`: no plain port, certificates of its own. `appendonly`: every
 * write is on disk before it is answered. `settings`: more of them, `{name: value}`.
 */
export async function startRedis({
  port, host = '127.0.0.1', namespace, password, acl, tls: secure = false, appendonly = false, settings = {},
} = {}) {
  if (spawnSync('redis-server', ['--version']).status !== 0) throw new Error(MISSING);
  const directory = temporaryDirectory('redis');
  const certificates = secure ? makeCertificates(host) : undefined;
  const bound = port ?? (namespace === undefined ? await freePort() : 6379);
  const options = {
    port: secure ? 0 : bound,
    bind: host,
    dir: directory,
    'protected-mode': 'no',
    save: '',
    'maxmemory-policy': 'noeviction',
    appendonly: appendonly ? 'yes' : 'no',
    ...(appendonly ? { appendfsync: 'always' } : {}),
    ...settings,
  };
  if (secure) {
    Object.assign(options, {
      'tls-port': bound,
      'tls-cert-file': certificates.certificate,
      'tls-key-file': certificates.key,
      'tls-ca-cert-file': certificates.authority,
      'tls-auth-clients': 'no',
    });
  }
  if (password !== undefined) options.requirepass = password;
  if (acl !== undefined) {
    options.aclfile = path.join(directory, 'users.acl');
    const closed = acl.some((line) => line.startsWith('user default ')) ? [] : ['user default off'];
    writeFileSync(options.aclfile, `${[...closed, ...acl].join('\n')}\n`);
  }
  const file = path.join(directory, 'redis.conf');
  const text = Object.entries(options).map(([name, value]) => `${name} ${/^[\w.:/-]+$/.test(value) ? value : JSON.stringify(String(value))}\n`);
  writeFileSync(file, text.join(''), { mode: 0o600 });

  let child;
  let log = '';
  // How the test itself asks: as an administrator that the server's own users do not limit.
  const credentials = administrator(password, acl);
  const connect = () => connectTo({ host, port: bound, authority: certificates?.authority, credentials });

  async function start() {
    const [command, ...args] = inside(namespace, ['redis-server', file]);
    child = tie(spawn(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] }));
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { log += text; });
    for (let tries = 0; ; tries++) {
      try {
        const client = await connect();
        const answer = await client.call('PING').finally(() => client.close());
        if (answer === 'PONG') break;
        throw new Error(answer);
      } catch (error) {
        if (child.exitCode !== null || tries === 600) throw new Error(`Redis does not answer: ${error.message}\n${log}`);
        await pause(50);
      }
    }
  }

  await start();
  const user = credentials === undefined ? '' : `${credentials.map(encodeURIComponent).join(':')}@`;
  return {
    host,
    port: bound,
    directory,
    certificates,
    get pid() { return child.pid; },
    log: () => log,
    url: `${secure ? 'rediss' : 'redis'}://${user}${host}:${bound}/0`,
    /** Its URL as another of its users. */
    urlAs: (name, secret) => `${secure ? 'rediss' : 'redis'}://${encodeURIComponent(name)}:${encodeURIComponent(secret)}@${host}:${bound}/0`,
    connect,
    /** One command, on a connection of its own. */
    async call(...command) {
      const client = await connect();
      return client.call(...command).finally(() => client.close());
    },
    /** Ends it as a power cut would: without `appendonly`, it knows nothing afterwards. */
    kill: () => end(child, 'SIGKILL'),
    start,
    async restart() {
      await end(child, 'SIGKILL');
      await start();
    },
    /** It neither answers nor closes anything, until `thaw`. */
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async stop() {
      await end(child, 'SIGKILL');
      remove(directory);
      if (certificates !== undefined) remove(certificates.directory);
    },
  };
}

/** `[name, password]` of whoever may do everything. */
function administrator(password, acl) {
  if (acl === undefined) return password === undefined ? undefined : ['default', password];
  for (const line of acl) {
    const [, name, ...rules] = line.split(/\s+/);
    const secret = rules.find((rule) => rule.startsWith('>'));
    if (secret !== undefined && rules.includes('+@all')) return [name, secret.slice(1)];
  }
  throw new Error('a test needs a user with +@all in its ACL');
}

/** The least of a client (RESP2): replies come in the order of the commands. */
async function connectTo({ host, port, authority, credentials }) {
  const socket = authority === undefined ? net.connect({ host, port })
    : tls.connect({ host, port, ca: readFileSync(authority), servername: net.isIP(host) ? '' : host });
  const waiting = [];
  let left = Buffer.alloc(0);
  let broken;
  const fail = (error) => {
    broken ??= error ?? new Error('Redis closed the connection');
    for (const { reject } of waiting.splice(0)) reject(broken);
  };
  socket.on('error', fail).on('close', () => fail());
  socket.on('data', (more) => {
    left = Buffer.concat([left, more]);
    for (;;) {
      const read = reply(left, 0);
      if (read === undefined) return;
      left = left.subarray(read.next);
      const { resolve, reject } = waiting.shift();
      if (read.value instanceof Error) reject(read.value);
      else resolve(read.value);
    }
  });
  await new Promise((resolve, reject) => {
    socket.once(authority === undefined ? 'connect' : 'secureConnect', resolve).once('error', reject);
  });
  const client = {
    call: (...command) => new Promise((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      waiting.push({ resolve, reject });
      const parts = command.map((part) => Buffer.from(String(part)));
      socket.write(Buffer.concat([Buffer.from(`*${parts.length}\r\n`),
        ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, Buffer.from('\r\n')])]));
      return undefined;
    }),
    close: () => socket.destroy(),
  };
  if (credentials !== undefined) await client.call('AUTH', ...credentials);
  return client;
}

/** Reads one reply at `at`: `{value, next}`, or nothing if it is not complete. */
function reply(buffer, at) {
  const line = buffer.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const text = buffer.toString('utf8', at + 1, line);
  const next = line + 2;
  switch (String.fromCharCode(buffer[at])) {
    case '+': return { value: text, next };
    case '-': return { value: new Error(text), next };
    case ':': return { value: Number(text), next };
    case '$': {
      const length = Number(text);
      if (length < 0) return { value: null, next };
      if (buffer.length < next + length + 2) return undefined;
      return { value: buffer.toString('utf8', next, next + length), next: next + length + 2 };
    }
    case '*': {
      if (Number(text) < 0) return { value: null, next };
      const value = [];
      let from = next;
      for (let i = 0; i < Number(text); i++) {
        const item = reply(buffer, from);
        if (item === undefined) return undefined;
        value.push(item.value);
        from = item.next;
      }
      return { value, next: from };
    }
    default: throw new Error(`not Redis: ${buffer.toString('latin1', at, at + 40)}`);
  }
}
