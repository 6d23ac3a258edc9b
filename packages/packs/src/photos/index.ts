import type { Pack } from '@sheaf/engine';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';
import { developProcessor } from './processor.ts';

/** A folder of photos, developed with a preset. */
export const photos: Pack = {
  name: 'photos',
  description: 'Develops folders of photos with a preset',
  processors: [developProcessor],
  templates: [
    {
      id: 'develop',
      description: 'Bright and airy photos',
      processor: developProcessor.name,
      config: { preset: 'WhiteLayer_v4', blend: 100 },
    },
  ],
  samples: [...SAMPLE_PHOTOS, TRUNCATED_PHOTO],
  routes: [],
};
