import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { until } from '../src/testing/until.ts';
import { createLedger } from './engine/ledger.ts';
import { countsOf, shareWorld } from './engine/world.ts';

const QUICK = { base_ms: 0, max_ms: 0 };

const hostile = [
  '../outside.txt',
  '/tmp/outside.txt',
  '..',
  '.',
  '',
  'a/b.txt',
  'a\\b.txt',
  'a\0b.txt',
  ' ',
  '\u200b',
  'x'.repeat(300),
  'line\nbreak',
];

/** Writes outputs as the item's input asks for it. */
const writer = createLedger({
  name: 'writer',
  run({ input, attempt }, { output }) {
    const wish = input as { name: string; how?: string };
    const path = output(wish.name);
    switch (wish.how) {
      case 'link':
        symlinkSync('/etc/hostname', path);
        break;
      case 'folder':
        mkdirSync(path);
        break;
      case 'never':
        break;
      case 'second try':
        writeFileSync(path, `attempt ${attempt}`);
        if (attempt === 1) throw new Error('not at first');
        break;
      default:
        writeFileSync(path, `bytes of ${wish.name}`);
    }
    return { ok: true };
  },
});
const world = shareWorld({ processors: [writer.processor] });

async function write(inputs: { name: string; how?: string }[], maxAttempts = 1) {
  const items = inputs.map((input) => ({ input }));
  const batch = await world.make({ processor: 'writer', items, max_attempts: maxAttempts, backoff: QUICK });
  const ended = await world.end(batch);
  const { data } = await world.engine.items({ batch_id: batch.id, after: 0, limit: 100 });
  return { ended, items: data };
}

async function bytesOf(fileId: string, range: { start?: number; end?: number } = {}): Promise<string> {
  const { stream } = await world.engine.openFile({ file_id: fileId, ...range });
  return Buffer.concat(await stream.toArray()).toString();
}

/** Every stored blob, by its sha256. */
function blobs(): string[] {
  const root = join(world.folder, 'files', 'default');
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((folder) => readdirSync(join(root, folder)));
}

describe('the outputs of an item', () => {
  it('are kept under their name, size and sum', async () => {
    const { items } = await write([{ name: 'a.webp' }, { name: 'Über größe 日本.txt' }]);
    expect(items.map(({ outputs }) => outputs[0])).toMatchObject([
      { name: 'a.webp', bytes: 15, media_type: 'image/webp' },
      { name: 'Über größe 日本.txt', media_type: 'text/plain' },
    ]);
    for (const { outputs } of items) {
      const text = `bytes of ${outputs[0]?.name}`;
      expect(await bytesOf(outputs[0]?.id ?? '')).toBe(text);
      expect(outputs[0]?.sha256).toBe(createHash('sha256').update(text).digest('hex'));
    }
  });

  it('of an attempt that failed are gone, and only the last ones are kept', async () => {
    const before = blobs().length;
    const { items } = await write([{ name: 'a.txt', how: 'second try' }], 2);
    expect(items[0]?.outputs).toHaveLength(1);
    expect(await bytesOf(items[0]?.outputs[0]?.id ?? '')).toBe('attempt 2');
    expect(blobs()).toHaveLength(before + 1);
  });

  it('that were named and never written are none', async () => {
    const { items } = await write([{ name: 'a.txt', how: 'never' }]);
    expect(items[0]).toMatchObject({ status: 'completed', outputs: [] });
  });

  it.each(hostile)('cannot be named %j', async (name) => {
    const { items } = await write([{ name }]);
    expect(items[0]).toMatchObject({
      status: 'failed',
      error: { kind: 'permanent', code: 'bad_output_name' },
    });
    expect(existsSync(join(world.folder, 'outside.txt'))).toBe(false);
    expect(existsSync(join(world.folder, 'work', 'outside.txt'))).toBe(false);
  });

  it.each(['link', 'folder'])('cannot be a %s', async (how) => {
    const { items } = await write([{ name: 'a.txt', how }]);
    expect(items[0]).toMatchObject({ status: 'failed', error: { code: 'bad_result' } });
  });

  it('leave no folder behind', async () => {
    await write([{ name: 'a.txt' }, { name: 'b.txt', how: 'link' }, { name: 'c.txt', how: 'never' }]);
    await until(
      'no folder of an attempt is left',
      () => readdirSync(join(world.folder, 'work')).length === 0,
    );
  });

  it('of equal bytes are stored once, however many items made them', async () => {
    const before = blobs().length;
    const { ended, items } = await write(Array.from({ length: 20 }, () => ({ name: 'same.txt' })));
    expect(countsOf(ended)).toEqual({ status: 'completed', completed_items: 20 });
    expect(new Set(items.map(({ outputs }) => outputs[0]?.sha256)).size).toBe(1);
    expect(blobs()).toHaveLength(before + 1);
  });
});

describe('uploads', () => {
  const upload = (text: string, options: { name?: string; max_bytes?: number; space?: string } = {}) =>
    world.engine.upload(Readable.from([text]), { name: 'a.txt', ...options });

  it('are stored, named and read back, whole or in part', async () => {
    const file = await upload('0123456789');
    expect(file).toMatchObject({ name: 'a.txt', bytes: 10, media_type: 'application/octet-stream' });
    expect(await bytesOf(file.id)).toBe('0123456789');
    expect(await bytesOf(file.id, { start: 3, end: 5 })).toBe('345');
    expect(await bytesOf(file.id, { start: 7 })).toBe('789');
  });

  it('may be empty', async () => {
    const file = await upload('');
    expect(file.bytes).toBe(0);
    expect(await bytesOf(file.id)).toBe('');
  });

  it('past the limit are refused and leave nothing', async () => {
    const before = blobs().length;
    await expect(upload('x'.repeat(11), { max_bytes: 10 })).rejects.toMatchObject({ code: 'too_large' });
    expect((await upload('y'.repeat(10), { max_bytes: 10 })).bytes).toBe(10);
    expect(blobs()).toHaveLength(before + 1);
    expect(readdirSync(join(world.folder, 'files', '.tmp'))).toEqual([]);
  });

  it('that break off leave nothing', async () => {
    const before = blobs().length;
    const source = Readable.from(
      (async function* broken() {
        yield 'half';
        throw new Error('the caller went away');
      })(),
    );
    await expect(world.engine.upload(source, { name: 'a.txt' })).rejects.toThrow('went away');
    expect(blobs()).toHaveLength(before);
    expect(readdirSync(join(world.folder, 'files', '.tmp'))).toEqual([]);
  });

  it.each(['', ' ', 'a\0b', 'x'.repeat(256)])('cannot be named %j', async (name) => {
    await expect(upload('text', { name })).rejects.toMatchObject({ code: 'invalid_name' });
  });

  it('belong to their space', async () => {
    const file = await upload('text', { space: 'elsewhere' });
    await expect(world.engine.file({ file_id: file.id })).rejects.toMatchObject({ code: 'not_found' });
    await expect(world.engine.openFile({ file_id: file.id })).rejects.toMatchObject({ code: 'not_found' });
    await expect(world.make({ items: [{ file_id: file.id }] })).rejects.toMatchObject({ code: 'invalid' });
    expect((await world.engine.file({ file_id: file.id, space: 'elsewhere' })).bytes).toBe(4);
  });
});
