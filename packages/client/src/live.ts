import type { SheafEvent, Wire } from '@sheaf/protocol';

export type LiveState = 'live' | 'reconnecting';

export type LiveOptions = {
  /** Address of the server, without `/api`. */
  url: string;
  /** `batches`, `batch:bat_…` or `items:bat_…`, each with the last stored event that is known. */
  topics: readonly { topic: string; since?: number }[];
  onEvent: (event: Wire<SheafEvent>) => void;
  /** Events were missed: read the batch again. Also called after each reconnection. */
  onResync?: () => void;
  onState?: (state: LiveState) => void;
};

export type Live = { close(): void };

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;

/**
 * Listens to topics over one WebSocket. A lost connection is made again, after 0.25 s at first and
 * 5 s at most, and goes on behind the last stored event seen. Never throws: a server that cannot be
 * reached is tried until `close`.
 */
export function openLive(options: LiveOptions): Live {
  const address = `${options.url.replace(/\/+$/, '').replace(/^http/, 'ws')}/api/events`;
  const since = new Map(options.topics.map(({ topic, since: seq }) => [topic, seq]));
  let socket: WebSocket | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let opened = false;
  let closed = false;

  const connect = () => {
    socket = new WebSocket(address);
    socket.onopen = () => {
      for (const [topic, seq] of since) {
        socket?.send(JSON.stringify({ type: 'subscribe', topic, ...(seq !== undefined && { since: seq }) }));
      }
      failures = 0;
      options.onState?.('live');
      if (opened) options.onResync?.();
      opened = true;
    };
    socket.onmessage = ({ data }) => receive(String(data));
    socket.onclose = () => {
      if (closed) return;
      options.onState?.('reconnecting');
      const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
      failures += 1;
      // Half of the wait by chance, so that many clients do not come back at one moment.
      timer = setTimeout(connect, wait * (0.5 + Math.random() / 2));
    };
  };

  const receive = (text: string) => {
    const frame = parse(text);
    if (frame === null) return;
    if (frame.type === 'resync') return options.onResync?.();
    if (!('batch_id' in frame)) return;
    // Only stored events carry their time; only they can be asked for again.
    const topic = `batch:${frame.batch_id}`;
    if ('at' in frame && since.has(topic)) since.set(topic, frame.seq);
    options.onEvent(frame);
  };

  connect();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      socket?.close();
    },
  };
}

type Frame = Wire<SheafEvent> | { type: 'resync' } | { type: 'error' };

/** A frame, or null for what is none: a newer server may say more than is understood here. */
function parse(text: string): Frame | null {
  try {
    const frame: unknown = JSON.parse(text);
    const isFrame = typeof frame === 'object' && frame !== null && 'type' in frame;
    // The shape is the server's documented contract.
    return isFrame ? (frame as Frame) : null;
  } catch {
    return null;
  }
}
