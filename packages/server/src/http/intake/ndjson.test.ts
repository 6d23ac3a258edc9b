import { describe, expect, it } from 'vitest';
import { readNdjson } from './ndjson.ts';

describe('NDJSON', () => {
  it('reads no further than it is asked to', async () => {
    let read = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        read++;
        yield Buffer.from('{"input":1}\n{"input":2}\n');
      }
    }
    const { items } = readNdjson(endless());
    for (let taken = 0; taken < 10; taken++) await items.next();
    expect(read).toBe(5);
  });

  it('knows the line it read last', async () => {
    async function* lines(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('\n{"input":1}\n\n{"name":"b"}');
    }
    const reader = readNdjson(lines());
    const seen: unknown[] = [];
    for await (const item of reader.items) seen.push([reader.line, item]);
    expect(seen).toEqual([
      [2, { input: 1 }],
      [4, { name: 'b' }],
    ]);
  });
});
