import { StringDecoder } from 'node:string_decoder';

/** Longer lines are passed on in pieces: a program may print a gigabyte without a line end. */
const MAX_LINE = 65_536;

/** Turns chunks of output into lines; a carriage return ends one too, as progress bars use it. */
export function createLineSplitter(onLine: (line: string) => void): {
  write(chunk: Buffer | string): void;
  flush(): void;
} {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return {
    write(chunk) {
      const lines = (rest + (typeof chunk === 'string' ? chunk : decoder.write(chunk))).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
      if (rest.length > MAX_LINE) {
        onLine(rest);
        rest = '';
      }
    },
    flush() {
      if (rest !== '') onLine(rest);
      rest = '';
    },
  };
}

/**
 * Sends what JavaScript prints in this process to `onLine` instead of its streams: there it could
 * not be told which item said it. The answer passes on what has no line end yet.
 */
export function captureOutput(onLine: (line: string) => void): () => void {
  const streams = [process.stdout, process.stderr].map((stream) => ({
    stream,
    splitter: createLineSplitter(onLine),
  }));
  for (const { stream, splitter } of streams) {
    const write = (chunk: Uint8Array | string, encoding?: unknown, callback?: unknown): boolean => {
      splitter.write(typeof chunk === 'string' ? chunk : Buffer.from(chunk));
      const done = typeof encoding === 'function' ? encoding : callback;
      if (typeof done === 'function') queueMicrotask(() => done(null));
      return true;
    };
    stream.write = write as typeof stream.write;
  }
  return () => {
    for (const { splitter } of streams) splitter.flush();
  };
}
