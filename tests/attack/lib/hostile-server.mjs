// A server that scripts are led to: it redirects, floods, drips and lies, as the path says.
import { once } from 'node:events';
import net from 'node:net';
import { gzipSync } from 'node:zlib';

const reply = (head, body = '') => `HTTP/1.1 ${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

function answer(socket, line, bomb) {
  const url = new URL(line.split(' ')[1] ?? '/', 'http://x');
  const floods = (start, chunk) => {
    socket.write(start);
    const more = () => { while (socket.writable && socket.write(chunk)); };
    socket.on('drain', more);
    more();
  };
  switch (url.pathname) {
    case '/redirect': return socket.end(reply(`302 Found\r\nlocation: ${url.searchParams.get('to') ?? '/redirect'}`));
    case '/bomb': return socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`), bomb]));
    case '/endless': return floods('HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(65_536));
    case '/chunks': return floods('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', `1\r\nx\r\n`.repeat(4096));
    case '/headers': return floods('HTTP/1.1 200 OK\r\n', `a: ${'b'.repeat(1000)}\r\n`.repeat(16));
    case '/lies': return socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nshort');
    case '/silent': return undefined;
    case '/drip': {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const beat = setInterval(() => socket.write('x'), 50);
      return socket.on('close', () => clearInterval(beat));
    }
    case '/mail': return socket.end('220 mail.example ESMTP\r\n');
    case '/nonsense': return socket.end('\0\xff\xfe not HTTP at all\r\n\r\n');
    case '/double': return socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 5\r\n\r\nhello');
    default: return socket.end(reply('200 OK', line));
  }
}

export async function hostileServer() {
  const bomb = gzipSync(Buffer.alloc(64 << 20));
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    socket.once('data', (head) => answer(socket, head.toString('latin1').split('\r\n')[0], bomb));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
