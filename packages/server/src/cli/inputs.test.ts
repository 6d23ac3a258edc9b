import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { errorCode } from '@sheaf/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectFiles, linesHint, nameFor } from './inputs.ts';
import { linesFromInput, linesFromManifest } from './lines.ts';
import { shortIds } from './resolve.ts';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sheaf-inputs-'));
  mkdirSync(join(folder, 'photos', 'sub', '.git'), { recursive: true });
  for (const name of ['10.jpg', '2.jpg', 'sub/a.png', '.hidden', 'sub/.git/config']) {
    writeFileSync(join(folder, 'photos', name), name);
  }
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('files to work on', () => {
  it('takes a folder with all below, by number, without what is hidden', async () => {
    const { files, bytes } = await collectFiles([join(folder, 'photos')]);
    expect(files.map((file) => [file.folder, file.name])).toEqual([
      ['', '2.jpg'],
      ['', '10.jpg'],
      ['sub', 'a.png'],
    ]);
    expect(bytes).toBe('10.jpg'.length + '2.jpg'.length + 'sub/a.png'.length);
  });

  it('takes patterns, and each file once', async () => {
    const { files } = await collectFiles([
      join(folder, 'photos', '**', '*.{jpg,png}'),
      join(folder, 'photos', '2.jpg'),
    ]);
    expect(files.map(({ name }) => name)).toEqual(['2.jpg', '10.jpg', 'a.png']);
  });

  it('takes a file whose name has the signs of a pattern', async () => {
    writeFileSync(join(folder, 'what[1]?.jpg'), '');
    const { files } = await collectFiles([join(folder, 'what[1]?.jpg')]);
    expect(files.map(({ name }) => name)).toEqual(['what[1]?.jpg']);
  });

  it('follows links to files, not to folders that lead in a circle', async () => {
    symlinkSync(join(folder, 'photos', '2.jpg'), join(folder, 'photos', 'sub', 'link.jpg'));
    symlinkSync(join(folder, 'photos'), join(folder, 'photos', 'sub', 'circle'));
    const { files } = await collectFiles([join(folder, 'photos')]);
    expect(files.map(({ name }) => name)).toEqual(['2.jpg', '10.jpg', 'a.png', 'link.jpg']);
  });

  it.each([
    ['a path that is not there', (dir: string) => join(dir, 'nothing.jpg'), 'no_input'],
    ['a pattern that matches nothing', (dir: string) => join(dir, '*.tiff'), 'no_input'],
    [
      'a folder with hidden files only',
      (dir: string) => join(dir, 'photos', 'sub', '.git', '..', '.git'),
      'ok',
    ],
    ['a web address', () => 'https://example.org/a.jpg', 'usage'],
    ['a file as a folder', (dir: string) => join(dir, 'photos', '2.jpg', 'x'), 'no_input'],
  ])('answers %s', async (_what, path, code) => {
    const answer = await collectFiles([path(folder)]).then(
      () => 'ok',
      (error) => errorCode(error),
    );
    expect(answer).toBe(code);
  });

  it('says no_input for a folder without files', async () => {
    mkdirSync(join(folder, 'empty'));
    await expect(collectFiles([join(folder, 'empty')])).rejects.toMatchObject({ code: 'no_input' });
  });

  // Root reads everything.
  it.skipIf(process.getuid?.() === 0)('says no_input for a file it may not read', async () => {
    chmodSync(join(folder, 'photos', '2.jpg'), 0);
    await expect(collectFiles([join(folder, 'photos')])).rejects.toMatchObject({ code: 'no_input' });
  });

  it('names a batch after what was named', () => {
    expect(nameFor(['./photos/'], 'x')).toBe('photos');
    expect(nameFor(['./photos/*.jpg'], 'x')).toBe('photos');
    expect(nameFor(['a.jpg', 'b.jpg', 'c.jpg'], 'x')).toBe('a.jpg and 2 more');
    expect(nameFor(['-'], 'thumbnails')).toBe('thumbnails');
    expect(nameFor([], 'thumbnails')).toBe('thumbnails');
  });
});

describe('a file of lines that is taken whole', () => {
  beforeEach(() => {
    for (const name of ['rows.ndjson', 'more rows.jsonl', 'rows.txt'])
      writeFileSync(join(folder, name), '{}');
    mkdirSync(join(folder, 'lines.jsonl'));
    writeFileSync(join(folder, 'lines.jsonl', 'one.jsonl'), '{}');
  });

  it.each([
    ['named alone', ['rows.ndjson'], / is one item, .* --manifest \S+rows\.ndjson$/],
    ['whose name a shell would split', ['more rows.jsonl'], / --manifest '.+more rows\.jsonl'$/],
    ['beside another', ['rows.ndjson', 'more rows.jsonl'], null],
    ['of another kind', ['rows.txt'], null],
    ['in a folder', ['lines.jsonl'], null],
    ['that a pattern found', ['*.ndjson'], null],
  ])('is spoken of when %s', async (_what, names, expected) => {
    const paths = names.map((name) => join(folder, name));
    const hint = linesHint(paths, (await collectFiles(paths)).files);
    if (expected === null) expect(hint).toBeNull();
    else expect(hint).toMatch(expected);
  });
});

describe('lines to work on', () => {
  it('counts the lines of a manifest that is right', async () => {
    const path = manifest('{"name":"a"}\r\n\n{"name":"b","input":1}\n');
    expect((await linesFromManifest(path)).count).toBe(2);
  });

  it.each([
    ['broken JSON', '{"name":"a"}\n{"name":\n', 'bad_manifest', / line 2 /],
    ['a line that is no object', '[1]\n', 'bad_manifest', / line 1 /],
    ['nothing', '\n', 'no_input', /no lines/],
  ])('refuses a manifest with %s', async (_what, text, code, message) => {
    await expect(linesFromManifest(manifest(text))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('says what CSV is, and what is not there', async () => {
    await expect(linesFromManifest('items.csv')).rejects.toMatchObject({ code: 'usage' });
    await expect(linesFromManifest(join(folder, 'no.jsonl'))).rejects.toMatchObject({ code: 'no_input' });
  });

  it('refuses an input that ends without a word, and hands on all of any other', async () => {
    await expect(linesFromInput(Readable.from([Buffer.from(' \n')]))).rejects.toMatchObject({
      code: 'no_input',
    });
    const { body } = await linesFromInput(
      Readable.from([Buffer.from('\n'), Buffer.from('{}\n'), Buffer.from('{}')]),
    );
    expect(await new Response(body).text()).toBe('\n{}\n{}');
  });

  function manifest(text: string): string {
    const path = join(folder, 'items.jsonl');
    writeFileSync(path, text);
    return path;
  }
});

describe('short ids', () => {
  it('are as short as they stay unique, and six characters at least', () => {
    const ids = [
      'bat_01j9x4aaaaaaaaaaaaaaaaaaaa',
      'bat_01j9x4aabbbbbbbbbbbbbbbbbb',
      'bat_07zzzzzzzzzzzzzzzzzzzzzzzz',
    ];
    expect([...shortIds(ids).values()]).toEqual(['bat_01j9x4aaa', 'bat_01j9x4aab', 'bat_07zzzz']);
  });
});
