import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createMessageCutter, statementOf } from './postgres-messages.ts';

/**
 * What becomes of a statement:
 *
 * - `pass`: nothing.
 * - `unsent`: the connection breaks before the server hears of it.
 * - `unheard`: the server does it, and the connection breaks before its answer arrives.
 * - `swallowed`: the server does it; its answer never arrives, and the connection stays open.
 */
export type Fate = 'pass' | 'unsent' | 'unheard' | 'swallowed';

/** A way to PostgreSQL that fails as networks do, without either end being told. */
export type PostgresProxy = {
  /** The same database, reached through here. */
  through(url: string): string;
  /**
   * Decides on each statement as it comes: the text of a simple one, or of one that is prepared. Never
   * asked for a prepared one that runs again.
   *
   * @param connection Numbers the connections in the order they came.
   * @default all pass
   */
  decide: (statement: string, connection: number) => Fate;
  /** Resets all connections, and refuses new ones until `accept`. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
  /**
   * Connections stay open, new ones can be made, and nothing gets through. Neither end learns that the
   * other one has hung up.
   *
   * @param what `answers`: what is asked is still heard and done.
   */
  silence(what: 'all' | 'answers'): void;
  /**
   * Ends the silence for new connections.
   *
   * @param held Whether what was held back arrives after all, as it does when packets are sent
   *   again; else the old connections stay silent for ever, as behind a router that has forgotten them.
   */
  speak(held: 'late' | 'never'): void;
  close(): Promise<void>;
};

type Silence = 'all' | 'answers';
type Link = { hush(what: Silence): void; speak(held: 'late' | 'never'): void; reset(): void };

/** @param target A URL of the server; the proxy finds it again after a restart on the same port. */
export async function startPostgresProxy(target: string): Promise<PostgresProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const links = new Set<Link>();
  let silence: Silence | null = null;
  let connections = 0;
  // Half-open: who has hung up is not answered in the other one's name.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ port: Number(targetPort), host: hostname, allowHalfOpen: true });
    const connection = ++connections;
    const link = createLink(client, upstream, {
      decide: (statement) => proxy.decide(statement, connection),
      onEnd: () => links.delete(link),
    });
    links.add(link);
    if (silence !== null) link.hush(silence);
  });
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  await listen(0);
  // A listening TCP server has such an address.
  const { port } = server.address() as AddressInfo;
  const shut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const link of links) link.reset();
    });
  const proxy: PostgresProxy = {
    through(url) {
      const here = new URL(url);
      here.host = `127.0.0.1:${port}`;
      return here.href;
    },
    decide: () => 'pass',
    refuse: shut,
    accept: () => listen(port),
    silence(what) {
      silence = what;
      for (const link of links) link.hush(what);
    },
    speak(held) {
      silence = null;
      for (const link of links) link.speak(held);
    },
    close: () => (server.listening ? shut() : Promise.resolve()),
  };
  return proxy;
}

/** One connection and its other half. */
function createLink(
  client: Socket,
  upstream: Socket,
  { decide, onEnd }: { decide: (statement: string) => Fate; onEnd: () => void },
): Link {
  let silence: Silence | null = null;
  let isForgotten = false;
  const held = { up: [] as Buffer[], down: [] as Buffer[] };
  /** Answers are counted: each simple statement and each `Sync` gets one `ReadyForQuery`, as does the start. */
  let asked = 1;
  let answered = 0;
  /** The answer that does not arrive, and what comes of the connection then. */
  let lost: { answer: number; fate: Fate } | null = null;
  let isClosing = false;

  const fromClient = createMessageCutter({ hasStart: true });
  const fromServer = createMessageCutter({ hasStart: false });
  client.setNoDelay(true);
  upstream.setNoDelay(true);
  client.on('data', (chunk) => {
    for (const message of fromClient(chunk)) hear(message);
  });
  upstream.on('data', (chunk) => {
    for (const message of fromServer(chunk)) answer(message);
  });
  for (const end of [client, upstream]) {
    end.on('error', () => {});
    end.on('end', hangUp);
    end.on('close', hangUp);
  }
  return {
    hush(what) {
      silence = what;
    },
    speak(how) {
      if (silence === null) return;
      if (how === 'never') {
        isForgotten = true;
        return;
      }
      silence = null;
      for (const message of held.up.splice(0)) upstream.write(message);
      for (const message of held.down.splice(0)) client.write(message);
      if (isClosing) hangUp();
    },
    reset,
  };

  function hear(message: Buffer): void {
    const statement = statementOf(message);
    const fate = statement === null ? 'pass' : decide(statement);
    if (fate === 'unsent') {
      reset();
      return;
    }
    const type = message[0];
    const isAsking = type === QUERY || type === SYNC;
    if (isAsking) asked += 1;
    // Of a statement that is prepared first, the answer comes with the `Sync` behind it.
    if (fate !== 'pass') lost ??= { answer: type === QUERY ? asked : asked + 1, fate };
    if (isForgotten) return;
    if (silence === 'all') held.up.push(message);
    else upstream.write(message);
  }

  function answer(message: Buffer): void {
    const isReady = message[0] === READY;
    const isLost = lost !== null && answered + 1 >= lost.answer;
    if (isReady) answered += 1;
    if (isLost) {
      if (isReady && lost?.fate === 'unheard') reset();
      return;
    }
    if (isForgotten) return;
    if (silence !== null) held.down.push(message);
    else client.write(message);
  }

  function hangUp(): void {
    isClosing = true;
    // Nobody is told: not in a silence, and not before the server has done what nobody is to hear of.
    if (silence !== null || (lost !== null && !upstream.destroyed)) return;
    // What was written before still arrives.
    client.end();
    upstream.end();
    if (client.destroyed || upstream.destroyed) onEnd();
  }

  function reset(): void {
    silence = null;
    client.resetAndDestroy();
    upstream.resetAndDestroy();
    onEnd();
  }
}

const [QUERY, SYNC, READY] = ['Q', 'S', 'Z'].map((letter) => letter.charCodeAt(0));
