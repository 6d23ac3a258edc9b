import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitLines } from './line-splitter.ts';

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function linesOf(text: string, size: number, limit = 1_000): Promise<[number, string][]> {
  const lines: [number, string][] = [];
  for await (const { number, bytes } of splitLines(pieces(text, size), limit))
    lines.push([number, Buffer.from(bytes).toString()]);
  return lines;
}

describe('line splitter', () => {
  it('cuts at newlines wherever the pieces of the stream end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string()), fc.integer({ min: 1, max: 20 }), async (parts, size) => {
        const text = parts.join('\n');
        const expected = text
          .split('\n')
          .map((line, index) => [index + 1, line] as const)
          .filter(([, line]) => !/^[ \t\r]*$/.test(line));
        expect(await linesOf(text, size)).toEqual(expected);
      }),
    );
  });

  it('leaves out empty lines and goes on counting', async () => {
    expect(await linesOf('a\n\n  \r\nb\n', 3)).toEqual([
      [1, 'a'],
      [4, 'b'],
    ]);
  });

  it('names the line that is over the limit', async () => {
    await expect(linesOf(`ok\n${'x'.repeat(101)}\n`, 7, 100)).rejects.toMatchObject({
      code: 'too_large',
      details: { line: 2 },
    });
    expect(await linesOf('x'.repeat(100), 7, 100)).toHaveLength(1);
  });

  it('stops reading at a line without an end instead of keeping it', async () => {
    let read = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 10;
        yield Buffer.alloc(10, 'x');
      }
    }
    const lines = splitLines(endless(), 1_000);
    await expect(lines.next()).rejects.toMatchObject({ code: 'too_large' });
    expect(read).toBeLessThan(2_000);
  });

  it('keeps a line that drips in byte by byte', async () => {
    const line = 'x'.repeat(2_000);
    expect(await linesOf(line, 1, 3_000)).toEqual([[1, line]]);
  });
});
