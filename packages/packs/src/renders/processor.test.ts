import sharp from 'sharp';
import { expect, test } from 'vitest';
import { packs } from '../index.ts';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';
import { temporaryFolder } from '../testing/pictures.ts';
import { runOn } from '../testing/work.ts';
import { renders } from './index.ts';
import { pipelineProcessor } from './processor.ts';

const folder = temporaryFolder();
const [photo] = SAMPLE_PHOTOS;

async function rendered(file: { path: string; name: string } | null | undefined, config: unknown = {}) {
  return await runOn(pipelineProcessor, file ?? null, { config, place: folder.path });
}

test('takes pipeline 1 when none is chosen', async () => {
  const { result, outputs, metrics, steps } = await rendered(photo);
  expect(result).toEqual({ output: 'aitzgorri-in-autumn.jpg', width: 1500, height: 999, steps: 3 });
  expect(outputs).toEqual(['aitzgorri-in-autumn.jpg']);
  expect(metrics).toMatchObject({ pixels: 1500 * 999 });
  expect(steps).toEqual(['read 0', 'resize 20', 'adjust 50', 'write 80', 'write 100']);
});

test.each([
  { pipeline: 'thumbnails' },
  { pipeline_id: 2 },
  {
    steps: [
      { step: 'resize', width: 320 },
      { step: 'format', format: 'webp', quality: 80 },
    ],
  },
  ...renders.templates.map(({ config }) => config),
])('makes a thumbnail with %o', async (config) => {
  const { outputs } = await rendered(photo, config);
  expect(outputs).toEqual(['aitzgorri-in-autumn.webp']);
  expect(await sharp(folder.path('aitzgorri-in-autumn.webp')).metadata()).toMatchObject({
    width: 320,
    height: 213,
  });
});

const [thumbnails] = renders.templates;

test.each([
  [{ width: 200 }, { format: 'webp', width: 200, height: 133 }],
  [
    { width: 640, format: 'jpeg', quality: 60 },
    { format: 'jpeg', width: 640, height: 426 },
  ],
  [{ width: 4_000 }, { format: 'webp', width: 1_500, height: 999 }],
  [{ format: 'png' }, { format: 'png', width: 320, height: 213 }],
] as const)('the template thumbnails takes %o', async (choices, expected) => {
  const { outputs } = await rendered(photo, { ...thumbnails?.config, ...choices });
  expect(await sharp(folder.path(outputs[0] ?? '')).metadata()).toMatchObject(expected);
});

test('a width is a width, for pictures that are higher than wide too', async () => {
  const tall = await sharp({ create: { width: 600, height: 900, channels: 3, background: '#888' } })
    .jpeg()
    .toBuffer();
  const file = { path: folder.write('tall', tall), name: 'tall.jpg' };
  expect((await rendered(file, { ...thumbnails?.config, width: 400 })).result).toMatchObject({
    width: 400,
    height: 600,
  });
});

test('a lower quality makes a smaller file', async () => {
  const bytes = async (quality: number) =>
    (await rendered(photo, { ...thumbnails?.config, quality })).metrics.output_bytes ?? 0;
  expect(await bytes(30)).toBeLessThan((await bytes(90)) / 2);
});

test('a width and a format go into steps that have none', async () => {
  const steps = [{ step: 'rotate', degrees: 90 }];
  const { outputs, result } = await rendered(photo, { steps, width: 300, format: 'png' });
  expect(outputs).toEqual(['aitzgorri-in-autumn.png']);
  expect(result).toMatchObject({ height: 300, steps: 3 });
});

test.each([
  [{ steps: [{ step: 'rotate', degrees: 90 }], quality: 50 }, 'quality needs a format'],
  [{ pipeline_id: 99 }, 'there are 1 (3-view-render), 2 (thumbnails)'],
  [{ pipeline: 'sepia' }, 'There is no pipeline sepia'],
  [{ pipeline_id: 1, pipeline: 'thumbnails' }, 'Give one of'],
])('refuses %o', (config, words) => {
  const checked = pipelineProcessor.config.safeParse(config);
  expect(checked.error?.issues.map(({ message }) => message).join()).toContain(words);
});

test('fails at once for a broken picture, which repair takes', async () => {
  await expect(rendered(TRUNCATED_PHOTO)).rejects.toMatchObject({ code: 'input_invalid', permanent: true });
  expect((await rendered(TRUNCATED_PHOTO, { repair: true })).result).toMatchObject({ width: 1500 });
  await expect(rendered(null)).rejects.toMatchObject({ code: 'input_invalid' });
});

test('each pack has a processor, a template and samples, under names of its own', () => {
  const names = packs.flatMap((pack) => [pack.name, ...pack.processors.map(({ name }) => name)]);
  expect(new Set(names).size).toBe(names.length);
  for (const pack of packs) {
    expect(pack.templates.length).toBeGreaterThan(0);
    expect(pack.samples.length).toBeGreaterThan(0);
    for (const { module, isolation } of pack.processors) {
      expect(isolation).toBe('process');
      expect(module).toMatch(/processor\.ts$/);
    }
  }
});
