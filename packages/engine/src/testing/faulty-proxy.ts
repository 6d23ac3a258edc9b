import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What goes wrong with one exchange. Offsets count bytes of the answer's body. */
export type Fault =
  /** The proxy answers in the server's place. */
  | { kind: 'answer'; status: number; body: string }
  /** The connection breaks before the server hears of it, or after it did what was asked. */
  | { kind: 'reset'; done: boolean }
  /** The connection breaks within the body, or stays open without another byte. */
  | { kind: 'cut' | 'silent'; at: number }
  /** The body ends early, in good order. */
  | { kind: 'short'; at: number }
  | { kind: 'flip'; at: number }
  /** The request is changed on its way. */
  | { kind: 'change'; path?: string; headers?: Record<string, string | undefined> };

export type Exchange = { method: string; path: string; headers: IncomingMessage['headers'] };

export type FaultyProxy = {
  endpoint: string;
  /** Every request that came, in order. */
  seen: Exchange[];
  /** Decides on each request; @default no fault */
  plan: (exchange: Exchange) => Fault | null;
  close(): Promise<void>;
};

/** Stands before an HTTP server on this machine and does to its answers what networks and servers do. */
export async function startFaultyProxy(target: string): Promise<FaultyProxy> {
  const server = createServer((incoming, outgoing) => {
    void serve(incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server has such an address.
  const { port } = server.address() as AddressInfo;
  const proxy: FaultyProxy = {
    endpoint: `http://127.0.0.1:${port}`,
    seen: [],
    plan: () => null,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;

  async function serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const sent = Buffer.concat(await incoming.toArray());
    const exchange = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers };
    proxy.seen.push(exchange);
    const fault = proxy.plan(exchange);
    if (fault?.kind === 'answer') {
      outgoing.writeHead(fault.status, { 'content-type': 'application/xml' }).end(fault.body);
      return;
    }
    if (fault?.kind === 'reset' && !fault.done) {
      incoming.socket.resetAndDestroy();
      return;
    }
    const answer = await forward(target, exchange, sent, fault?.kind === 'change' ? fault : {});
    if (fault?.kind === 'reset') incoming.socket.resetAndDestroy();
    else respond(outgoing, answer, fault);
  }
}

type Answer = { status: number; headers: IncomingMessage['headers']; body: Buffer };

async function forward(
  target: string,
  { method, path, headers }: Exchange,
  sent: Buffer,
  change: { path?: string; headers?: Record<string, string | undefined> },
): Promise<Answer> {
  const passed = Object.entries({ ...headers, ...change.headers }).filter(([, value]) => value !== undefined);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    request(
      new URL(change.path ?? path, target),
      { method, headers: Object.fromEntries(passed), agent: false },
      resolve,
    )
      .on('error', reject)
      .end(sent);
  });
  return {
    status: answer.statusCode ?? 500,
    headers: answer.headers,
    body: Buffer.concat(await answer.toArray()),
  };
}

function respond(outgoing: ServerResponse, { status, headers, body }: Answer, fault: Fault | null): void {
  if (fault?.kind === 'short') {
    const rest = body.subarray(0, fault.at);
    outgoing.writeHead(status, { ...headers, 'content-length': rest.length }).end(rest);
    return;
  }
  outgoing.writeHead(status, headers);
  if (fault?.kind === 'cut' || fault?.kind === 'silent') {
    // Only what was flushed can arrive before the end.
    outgoing.write(body.subarray(0, fault.at), () => {
      if (fault.kind === 'cut') outgoing.socket?.resetAndDestroy();
    });
    return;
  }
  if (fault?.kind === 'flip') body[fault.at] = 0xff ^ (body[fault.at] ?? 0);
  outgoing.end(body);
}
