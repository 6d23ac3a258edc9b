import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@sheaf/client';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { downloadOutputs } from './download.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sheaf-download-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('numbers outputs of one name in the order of their items, so that fetching again finds them all', async () => {
  const client = serverOf(
    Array.from({ length: 200 }, (_, index) => ({ name: 'a.txt', text: `${index + 1}` })),
  );
  const first = await downloadOutputs(client, 'bat_1', { dir: folder });
  const again = await downloadOutputs(client, 'bat_1', { dir: folder });

  expect({ files: first.files, kept: first.kept }).toEqual({ files: 200, kept: 0 });
  expect(again.kept).toBe(200);
  const textOf = (number: number) =>
    readFileSync(join(folder, number === 1 ? 'a.txt' : `a (${number}).txt`), 'utf8');
  expect(Array.from({ length: 200 }, (_, index) => textOf(index + 1))).toEqual(
    Array.from({ length: 200 }, (_, index) => `${index + 1}`),
  );
});

/** A server with one batch, of which each item has one output. */
function serverOf(outputs: readonly { name: string; text: string }[]): Client {
  const items = outputs.map(({ name, text }, index) => ({
    seq: index + 1,
    duration_ms: 1,
    outputs: [
      {
        id: `${index}`,
        name,
        bytes: Buffer.byteLength(text),
        sha256: createHash('sha256').update(text).digest('hex'),
      },
    ],
  }));
  const client: Pick<Client, 'items' | 'content'> = {
    items: async () => ({ data: items, next: null }) as never, // only these fields are read
    content: async (id) => new Blob([outputs[Number(id)]?.text ?? '']).stream(),
  };
  return client as Client;
}
