import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '..', 'samples', 'photos');

/** A file that shows a pack at work. */
export type Sample = { path: string; name: string };

/** Twelve photographs with free licences; `samples/ATTRIBUTION.md` names their authors. */
export const SAMPLE_PHOTOS: readonly Sample[] = [
  'aitzgorri-in-autumn.jpg',
  'bridge-cables.jpg',
  'dandelions.jpg',
  'dogs-at-the-window.jpg',
  'dragonfly.jpg',
  'fig-in-a-red-bowl.jpg',
  'forest-stream.jpg',
  'nuthatch.jpg',
  'paint-brushes.jpg',
  'picos-de-europa.jpg',
  'sunset-over-the-mountains.jpg',
  'wine-and-drum.jpg',
].map(sample);

/** A photo that ends at 60 % of its bytes: fails as it is, and develops with `repair`. */
export const TRUNCATED_PHOTO: Sample = sample('13-truncated-sunset.jpg');

function sample(name: string): Sample {
  return { path: join(FOLDER, name), name };
}
