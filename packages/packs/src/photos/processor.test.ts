import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';
import { GREEN, plain, RED, temporaryFolder } from '../testing/pictures.ts';
import { runOn } from '../testing/work.ts';
import { photos } from './index.ts';
import { developProcessor } from './processor.ts';

const folder = temporaryFolder();
const [photo] = SAMPLE_PHOTOS;

async function developed(file: { path: string; name: string } | null | undefined, config: unknown = {}) {
  return await runOn(developProcessor, file ?? null, { config, place: folder.path });
}

test('develops a sample photo and tells what it did', async () => {
  const { result, outputs, metrics, steps } = await developed(photo);
  expect(result).toEqual({
    output: 'aitzgorri-in-autumn.jpg',
    width: 1500,
    height: 999,
    preset: 'WhiteLayer_v4',
    blend: 100,
  });
  expect(outputs).toEqual(['aitzgorri-in-autumn.jpg']);
  const written = await readFile(folder.path('aitzgorri-in-autumn.jpg'));
  expect(metrics).toEqual({
    input_bytes: (await readFile(photo?.path ?? '')).length,
    output_bytes: written.length,
    pixels: 1500 * 999,
  });
  expect(steps).toEqual(['read 0', 'develop 30', 'write 70', 'write 100']);
});

test('takes format and width from the config', async () => {
  const { outputs } = await developed(photo, { format: 'webp', width: 200, blend: 60 });
  expect(outputs).toEqual(['aitzgorri-in-autumn.webp']);
  expect(await sharp(folder.path('aitzgorri-in-autumn.webp')).metadata()).toMatchObject({
    width: 200,
    format: 'webp',
  });
});

test('the same photo and config give the same bytes', async () => {
  await developed(photo);
  const first = await readFile(folder.path('aitzgorri-in-autumn.jpg'));
  await developed(photo);
  expect((await readFile(folder.path('aitzgorri-in-autumn.jpg'))).equals(first)).toBe(true);
});

test('says when only the first picture of a file was used', async () => {
  const frames = [await plain(RED).png().toBuffer(), await plain(GREEN).png().toBuffer()];
  const path = folder.write(
    'wave',
    await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer(),
  );
  const { lines, outputs } = await developed({ path, name: 'wave.gif' });
  expect(lines).toEqual(['The file holds 2 pictures; the first one was used.']);
  expect(outputs).toEqual(['wave.jpg']);
});

describe('fails at once, with a reason,', () => {
  test('for an item without a file', async () => {
    await expect(developed(null)).rejects.toMatchObject({ code: 'input_invalid', permanent: true });
  });

  test('for a broken photo, which repair then develops', async () => {
    await expect(developed(TRUNCATED_PHOTO)).rejects.toMatchObject({
      code: 'input_invalid',
      permanent: true,
    });
    expect((await developed(TRUNCATED_PHOTO, { repair: true })).result).toMatchObject({
      width: 1500,
      height: 1000,
    });
  });

  test('for a camera raw file, known by the name of the upload', async () => {
    const path = folder.write('0a1b2c', await plain(RED).tiff().toBuffer());
    await expect(developed({ path, name: 'IMG_0042.DNG' })).rejects.toMatchObject({
      reason: 'unsupported_format',
    });
  });
});

describe('config', () => {
  test('has defaults for everything', () => {
    expect(developProcessor.config.parse({})).toEqual({
      preset: 'WhiteLayer_v4',
      blend: 100,
      format: 'jpeg',
      quality: 85,
      repair: false,
    });
  });

  test.each([
    { preset: 'NoSuchPreset' },
    { blend: 101 },
    { blend: -1 },
    { quality: 0 },
    { format: 'tiff' },
    { width: 0 },
    { strength: 5 },
  ])('refuses %o', (config) => {
    expect(developProcessor.config.safeParse(config).success).toBe(false);
  });
});

test('the templates of the pack fit its processors', () => {
  for (const { processor, config } of photos.templates) {
    const found = photos.processors.find(({ name }) => name === processor);
    expect(found?.config.safeParse(config).success).toBe(true);
  }
});
