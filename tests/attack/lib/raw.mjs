// HTTP as bytes, for what a client library would never send.
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Sends `parts` (text or bytes; a number is a pause in ms) on a connection of its own, and gives all that came back
 * until the server closed it or `patience` ms passed: `{text, statuses, closed}`.
 */
export function raw(url, parts, { patience = 3000 } = {}) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = net.connect({ host: hostname, port: Number(port) });
    let text = '';
    let closed = false;
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      const statuses = [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status));
      resolve({ text, statuses, closed });
    };
    const timer = setTimeout(done, patience);
    socket.on('data', (more) => { text += more.toString('latin1'); });
    socket.on('error', () => { closed = true; });
    socket.on('close', () => { closed = true; done(); });
    socket.on('connect', async () => {
      for (const part of parts) {
        if (closed) return;
        if (typeof part === 'number') await pause(part);
        else socket.write(part);
      }
    });
  });
}

/** Holds connections open with requests that never end; gives what closes them. */
export function hold(url, count, start) {
  const { hostname, port } = new URL(url);
  const sockets = Array.from({ length: count }, () => {
    const socket = net.connect({ host: hostname, port: Number(port) });
    socket.on('error', () => {});
    socket.on('connect', () => socket.write(start));
    return socket;
  });
  const drip = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write('x');
  }, 100);
  return () => {
    clearInterval(drip);
    for (const socket of sockets) socket.destroy();
  };
}
