/**
 * Reads a stream that holds the output of many runs, each ended by a mark and the exit code:
 * `\n<mark> 0\n`. The line feed before the mark is part of it, so output comes out byte for byte.
 */
export function createMarkReader(
  mark: string,
  { onBytes, onEnd }: { onBytes: (bytes: Buffer) => void; onEnd: (code: number) => void },
): (chunk: Buffer) => void {
  const start = Buffer.from(`\n${mark} `);
  let held: Buffer = Buffer.alloc(0);
  return (chunk) => {
    let bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (;;) {
      const at = bytes.indexOf(start);
      const end = at === -1 ? -1 : bytes.indexOf('\n', at + start.length);
      // Without a whole mark, keep what may be the beginning of one.
      const safe = at === -1 ? Math.max(0, bytes.length - start.length + 1) : at;
      if (safe > 0) onBytes(bytes.subarray(0, safe));
      if (end === -1) {
        held = bytes.subarray(safe);
        return;
      }
      const code = Number(bytes.toString('latin1', at + start.length, end));
      bytes = bytes.subarray(end + 1);
      onEnd(code);
    }
  };
}
