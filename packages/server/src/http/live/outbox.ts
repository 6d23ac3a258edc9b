/** The part of a WebSocket that is used here. */
export type LiveSocket = {
  readonly readyState: number;
  /** Bytes that the network has not taken yet. */
  readonly bufferedAmount: number;
  send(text: string, done: () => void): void;
  close(code: number, reason: string): void;
  terminate(): void;
  ping(): void;
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): void;
  on(event: 'pong' | 'close', listener: () => void): void;
};

export type Outbox = {
  /** Sends whatever the state of the connection. */
  send(text: string): void;
  say(message: object): void;
  /**
   * Sends news, or drops it while the client cannot keep up; then it is told which topics to read
   * again as soon as it has caught up.
   *
   * @param topics Asked only when the news is dropped.
   */
  offer(text: string, topics: () => readonly string[]): void;
};

/** The state of a WebSocket that can be sent to. */
export const OPEN = 1;

/** With more than this on its way to a client, news would only make it later. */
const MAX_BUFFERED_BYTES = 1_048_576;
const CAUGHT_UP_BYTES = 65_536;

/** @param resync What a client is told about a topic of which it missed something. */
export function createOutbox(socket: LiveSocket, resync: (topic: string) => object): Outbox {
  const missed = new Set<string>();
  const outbox = { send, say, offer };
  return outbox;

  function send(text: string): void {
    if (socket.readyState === OPEN) socket.send(text, catchUp);
  }

  function say(message: object): void {
    send(JSON.stringify(message));
  }

  function offer(text: string, topics: () => readonly string[]): void {
    if (missed.size === 0 && socket.bufferedAmount <= MAX_BUFFERED_BYTES) send(text);
    else for (const topic of topics()) missed.add(topic);
  }

  /** Called as each message leaves; what is dropped was always behind one that has yet to. */
  function catchUp(): void {
    if (missed.size === 0 || socket.bufferedAmount > CAUGHT_UP_BYTES) return;
    const topics = [...missed];
    missed.clear();
    for (const topic of topics) say(resync(topic));
  }
}
