import { createLineSplitter } from '../../domain/line-splitter.ts';

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
