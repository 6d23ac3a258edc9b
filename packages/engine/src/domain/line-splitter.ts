/** Longer lines are passed on in pieces: a program may print a gigabyte without a line end. */
const MAX_LINE = 65_536;

/** Turns chunks of UTF-8 output into lines; a carriage return ends one too, as progress bars use it. */
export function createLineSplitter(onLine: (line: string) => void): {
  write(chunk: Uint8Array | string): void;
  /** Passes on what has no line end yet. */
  flush(): void;
} {
  const decoder = new TextDecoder();
  let rest = '';
  let isFed = false;
  return {
    write(chunk) {
      isFed = true;
      rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
      // A carriage return at the very end may be half of a line end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
      while (rest.length > MAX_LINE) {
        onLine(rest.slice(0, MAX_LINE));
        rest = rest.slice(MAX_LINE);
      }
    },
    flush() {
      // Most items print nothing, and this is asked after each.
      if (!isFed) return;
      isFed = false;
      // What is left of a character that never came whole.
      const last = rest + decoder.decode();
      rest = '';
      if (last !== '') onLine(last.replace(/\r$/, ''));
    },
  };
}
