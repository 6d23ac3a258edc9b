import { until } from './world.ts';

/** A frame as it came. A test knows what to expect of it. */
// biome-ignore lint/suspicious/noExplicitAny: the wire is untyped, and asserting on it is the point
export type LiveFrame = any;

export type LiveClient = {
  frames: LiveFrame[];
  /** Frames of a type. */
  of(type: string): LiveFrame[];
  send(message: unknown): void;
  subscribe(topic: string, since?: number): void;
  /** Waits for a frame of this type that fits, and answers it. */
  wait(type: string, fits?: (frame: LiveFrame) => boolean): Promise<LiveFrame>;
  /** The code of the closing, once it is closed. */
  closed: Promise<number>;
  close(): void;
};

/** Opens a live connection and keeps all it hears. */
export async function openLive(url: string): Promise<LiveClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/events`);
  const frames: LiveFrame[] = [];
  const closed = new Promise<number>((resolve) =>
    socket.addEventListener('close', ({ code }) => resolve(code)),
  );
  socket.addEventListener('message', ({ data }) => frames.push(JSON.parse(String(data))));
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', reject);
  });
  const client: LiveClient = {
    frames,
    closed,
    of: (type) => frames.filter((frame) => frame.type === type),
    send: (message) => socket.send(isData(message) ? message : JSON.stringify(message)),
    subscribe: (topic, since) =>
      client.send({ type: 'subscribe', topic, ...(since !== undefined && { since }) }),
    async wait(type, fits = () => true) {
      await until(() => client.of(type).some(fits));
      return client.of(type).find(fits);
    },
    close: () => socket.close(),
  };
  return client;
}

function isData(message: unknown): message is string | Uint8Array<ArrayBuffer> {
  return typeof message === 'string' || message instanceof Uint8Array;
}
