import { createReadStream, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
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
const QUALITY = 85;

/** Pictures before the clock starts, for both: what is measured is the pace of the five hundredth, not of the first. */
const warmUpOf = (size: number) => Math.min(48, size / 2);

/** Pictures of this many pixels across, and what they are scaled to. */
type Kind = Pick<Bench, 'name' | 'about' | 'size' | 'rounds'> & { width: number; from: 'samples' | 'camera' };

/** What a camera of 12 megapixels writes. */
const CAMERA = { width: 4_000, quality: 92 };

/**
 * What all the care around a real item costs: children, stored inputs and outputs, records. Only ours
 * makes anything last (fsync); the bare loop leaves its files to the system.
 */
export const photosBench = benchOf({
  name: 'photos',
  about: 'photographs of 12 megapixels to 2048 pixels',
  size: { full: 480, quick: 48 },
  rounds: { full: 3, quick: 1 },
  width: 2_048,
  from: 'camera',
});

/** The care costs the same for a small picture, and is more of its time. */
export const smallPhotosBench = benchOf({
  name: 'photos-small',
  about: 'the sample photographs (0.2 megapixels) to 800 pixels',
  size: { full: 960, quick: 120 },
  rounds: { full: 3, quick: 1 },
  width: 800,
  from: 'samples',
});

function benchOf({ name, about, size: sizes, rounds, width, from }: Kind): Bench {
  return {
    name,
    about: `${about}, disk to disk, ${PARALLEL} at a time`,
    size: sizes,
    rounds,
    sides: {
      async raw({ size, folder }) {
        shareMachine();
        const paths = await pictures(from, folder);
        await resizeAll(paths, { count: warmUpOf(size), width, folder: join(folder, 'warm-up') });
        const begun = performance.now();
        await resizeAll(paths, { count: size, width, folder: join(folder, 'outputs') });
        return { rate: size / ((performance.now() - begun) / 1000) };
      },
      async ours({ size, folder }) {
        const paths = await pictures(from, folder);
        const engine = await createEngine({ data_dir: folder, packs: [photos], concurrency: PARALLEL });
        const files = await Promise.all(
          paths.map((path) => engine.upload(createReadStream(path), { name: basename(path) })),
        );
        const draft = async (count: number) => {
          const items = Array.from({ length: count }, (_, index) => ({ file_id: at(files, index).id }));
          const { batch } = await engine.create({
            processor: 'photos.develop',
            // Without a look on it, developing is what sharp does: read, turn upright, scale, write.
            config: { blend: 0, width, quality: QUALITY, format: 'jpeg' },
            concurrency: PARALLEL,
            start: false,
            items,
          });
          return batch.id;
        };
        await secondsToComplete(engine, await draft(warmUpOf(size)));
        const seconds = await secondsToComplete(engine, await draft(size));
        await engine.close();
        return { rate: size / seconds };
      },
    },
    judge: (median) => [
      shareLine({
        label: name,
        ours: median('ours', 'rate'),
        other: { name: 'sharp', rate: median('raw', 'rate') },
        floor_percent: 95,
      }),
    ],
  };
}

/** The samples as they are, or as large as a camera writes them. */
async function pictures(from: Kind['from'], folder: string): Promise<string[]> {
  const samples = SAMPLE_PHOTOS.map(({ path }) => path);
  if (from === 'samples') return samples;
  const large = join(folder, 'camera');
  mkdirSync(large);
  return Promise.all(
    samples.map(async (path, index) => {
      const target = join(large, `${index}.jpg`);
      await sharp(path)
        .resize({ width: CAMERA.width })
        .keepExif()
        .jpeg({ quality: CAMERA.quality })
        .toFile(target);
      return target;
    }),
  );
}

/** The loop anybody would write. */
async function resizeAll(
  paths: readonly string[],
  { count, width, folder }: { count: number; width: number; folder: string },
): Promise<void> {
  mkdirSync(folder);
  let next = 0;
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let index = next++; index < count; index = next++) {
        await sharp(at(paths, index))
          .autoOrient()
          .resize({ width, fit: 'inside', withoutEnlargement: true })
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
