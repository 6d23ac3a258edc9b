import { createReadStream, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createEngine } from '../../packages/engine/src/index.ts';
import { photos } from '../../packages/packs/src/index.ts';
import type { asPicture } from '../../packages/packs/src/pictures/pixels.ts';
import { shareMachine } from '../../packages/packs/src/pictures/source.ts';
import { SAMPLE_PHOTOS } from '../../packages/packs/src/samples.ts';
import { type Bench, shareLine } from '../bench.ts';
import { secondsToComplete } from '../work.ts';

/** The very copy that the pack works with, as far as it is used here. */
const sharp = createRequire(new URL('../../packages/packs/package.json', import.meta.url))('sharp') as (
  path: string,
) => ReturnType<typeof asPicture>;

const PARALLEL = 2;
const WIDTH = 800;
const QUALITY = 85;

/** Without a look on it, developing is what sharp does: read, turn upright, scale, write. */
const CONFIG = { blend: 0, width: WIDTH, quality: QUALITY, format: 'jpeg' };

/**
 * What all the care around a real item costs: children, stored inputs and outputs, records. Only ours
 * makes anything last (fsync); the bare loop leaves its files to the system.
 */
export const photosBench: Bench = {
  name: 'photos',
  about: `sample photographs to ${WIDTH} pixels, disk to disk, ${PARALLEL} at a time`,
  size: { full: 360, quick: 96 },
  rounds: { full: 3, quick: 2 },
  sides: {
    async raw({ size, folder }) {
      shareMachine();
      await resizeAll(SAMPLE_PHOTOS.length, join(folder, 'warm-up'));
      const from = performance.now();
      await resizeAll(size, join(folder, 'outputs'));
      return { rate: size / ((performance.now() - from) / 1000) };
    },
    async ours({ size, folder }) {
      const engine = await createEngine({ data_dir: folder, packs: [photos], concurrency: PARALLEL });
      const files = await Promise.all(
        SAMPLE_PHOTOS.map(({ path, name }) => engine.upload(createReadStream(path), { name })),
      );
      const draft = async (count: number) => {
        const items = Array.from({ length: count }, (_, index) => ({ file_id: at(files, index).id }));
        const { batch } = await engine.create({
          processor: 'photos.develop',
          config: CONFIG,
          concurrency: PARALLEL,
          start: false,
          items,
        });
        return batch.id;
      };
      await secondsToComplete(engine, await draft(files.length));
      const seconds = await secondsToComplete(engine, await draft(size));
      await engine.close();
      return { rate: size / seconds };
    },
  },
  judge: (median) => [
    shareLine({
      label: 'photos',
      ours: median('ours', 'rate'),
      other: { name: 'sharp', rate: median('raw', 'rate') },
      floor_percent: 95,
    }),
  ],
};

/** The loop anybody would write. */
async function resizeAll(count: number, folder: string): Promise<void> {
  mkdirSync(folder);
  let next = 0;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let index = next++; index < count; index = next++) {
        await sharp(at(SAMPLE_PHOTOS, index).path)
          .autoOrient()
          .resize({ width: WIDTH, fit: 'inside', withoutEnlargement: true })
          .flatten({ background: '#fff' })
          .toColourspace('srgb')
          .keepExif()
          .keepXmp()
          .jpeg({ quality: QUALITY, chromaSubsampling: '4:2:0' })
          .toFile(join(folder, `${index}.jpg`));
      }
    }),
  );
}

function at<T>(list: readonly T[], index: number): T {
  const element = list[index % list.length];
  if (element === undefined) throw new Error('The list is empty.');
  return element;
}
