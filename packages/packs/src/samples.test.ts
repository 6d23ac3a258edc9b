import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from './samples.ts';

const folder = join(import.meta.dirname, '..', 'samples');
const all = [...SAMPLE_PHOTOS, TRUNCATED_PHOTO];

test('the list and the folder agree', async () => {
  const names = await readdir(join(folder, 'photos'));
  expect(all.map(({ name }) => name).sort()).toEqual(names.sort());
});

test('every photo has its author and licence, in the list of sources and in its EXIF', async () => {
  const attribution = await readFile(join(folder, 'ATTRIBUTION.md'), 'utf8');
  for (const { path, name } of all) {
    const row = attribution.split('\n').find((line) => line.includes(`| \`${name}\` |`)) ?? '';
    expect(row, name).toMatch(/CC (?:BY|BY-SA|CC0)? ?[34]\.0|CC0 1\.0/);
    const author = row.split('|')[4]?.split(',')[0]?.trim() ?? '';
    const { exif } = await sharp(path, { failOn: 'none' }).metadata();
    expect(exif?.toString('latin1'), name).toContain(author);
  }
});

test('photos are small enough to be carried along', async () => {
  for (const { path } of all) {
    const { length } = await readFile(path);
    expect(length).toBeGreaterThan(20_000);
    expect(length).toBeLessThan(300_000);
  }
});
