// Hosts on one machine: network namespaces, each on a bridge by a veth pair. Needs root and iproute2.
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr}`);
  return done.stdout;
}

/** Why this machine cannot have such networks; nothing if it can. */
export function impossible() {
  if (process.platform !== 'linux') return 'network namespaces are Linux\'s';
  if (process.getuid() !== 0) return 'network namespaces need root';
  for (const command of ['ip', 'nsenter']) {
    if (spawnSync(command, ['--version']).error !== undefined && spawnSync(command, ['-V']).error !== undefined) {
      return `${command} is missing (Debian, Ubuntu: apt-get install iproute2 util-linux)`;
    }
  }
  const name = `lode${process.pid}try`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return 'this machine lets nobody make network namespaces';
  spawnSync('ip', ['netns', 'delete', name]);
  return undefined;
}

/** A port of loopback that nobody listens on. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A command line as it is run in a namespace, as another user if need be: the process is the command's own. */
export function inside(namespace, command, user) {
  if (namespace === undefined) return command;
  const as = user === undefined || user === null ? [] : ['--setuid', String(user.uid), '--setgid', String(user.gid)];
  return ['nsenter', `--net=/run/netns/${namespace}`, ...as, '--', ...command];
}

/** A network whose addresses nothing on this machine has. */
function unused() {
  const taken = Object.values(networkInterfaces()).flat().map(({ address }) => address);
  for (let tries = 0; tries < 200; tries++) {
    const prefix = `10.${200 + ((process.pid + tries) % 50)}.${(process.pid >> 4) % 250}`;
    if (!taken.some((address) => address.startsWith(`${prefix}.`))) return prefix;
  }
  throw new Error('no network is free');
}

/** A bridge that this process is on, too, as `address`. */
export function makeNetwork() {
  // An interface's name has at most 15 characters.
  const id = `l${process.pid.toString(36)}`;
  const prefix = unused();
  const address = `${prefix}.1`;
  const namespaces = [];
  let removed = false;

  function remove() {
    if (removed) return;
    removed = true;
    // With a namespace go its interface and the other end of it.
    for (const namespace of namespaces) spawnSync('ip', ['netns', 'delete', namespace]);
    spawnSync('ip', ['link', 'delete', `${id}br`]);
  }

  process.once('exit', remove);
  run('ip', 'link', 'add', `${id}br`, 'type', 'bridge');
  run('ip', 'address', 'add', `${address}/24`, 'dev', `${id}br`);
  run('ip', 'link', 'set', `${id}br`, 'up');
  return {
    address,
    prefix: `${prefix}.0/24`,
    /** A host of its own. */
    host(name) {
      const number = namespaces.length + 2;
      const namespace = `${id}-${name}`;
      const outside = `${id}v${number}`;
      const its = `${prefix}.${number}`;
      run('ip', 'netns', 'add', namespace);
      namespaces.push(namespace);
      run('ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      run('ip', 'link', 'set', outside, 'master', `${id}br`, 'up');
      run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
      run('ip', '-n', namespace, 'address', 'add', `${its}/24`, 'dev', 'eth0');
      run('ip', '-n', namespace, 'link', 'set', 'eth0', 'up');
      return {
        namespace,
        address: its,
        /** Nothing comes or goes, and no connection is told. */
        cut: () => run('ip', 'link', 'set', outside, 'down'),
        mend: () => run('ip', 'link', 'set', outside, 'up'),
        /** What it sends to one address gets lost. It still hears what comes from there. */
        cutFrom: (to) => run('ip', '-n', namespace, 'route', 'add', 'blackhole', `${to}/32`),
        mendTo: (to) => run('ip', '-n', namespace, 'route', 'delete', 'blackhole', `${to}/32`),
      };
    },
    /** A second address of a host. */
    address2(host) {
      const its = `${prefix}.${100 + namespaces.indexOf(host.namespace)}`;
      run('ip', '-n', host.namespace, 'address', 'add', `${its}/24`, 'dev', 'eth0');
      return its;
    },
    remove,
  };
}
