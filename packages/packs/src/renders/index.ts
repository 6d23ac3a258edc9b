import type { Pack } from '@sheaf/engine';
import { SAMPLE_PHOTOS } from '../samples.ts';
import { pipelineProcessor } from './processor.ts';

/** Pictures taken through named pipelines. */
export const renders: Pack = {
  name: 'renders',
  description: 'Takes pictures through pipelines: resize, crop, watermark, format',
  processors: [pipelineProcessor],
  templates: [
    {
      id: 'thumbnails',
      description: 'Small previews: at most 320 pixels, WebP',
      processor: pipelineProcessor.name,
      config: {
        steps: [
          { step: 'resize', width: 320, height: 320 },
          { step: 'format', format: 'webp', quality: 80 },
        ],
      },
    },
  ],
  samples: SAMPLE_PHOTOS,
  routes: [],
};
