import { defineProcessor } from '@sheaf/engine/processor';
import { z } from 'zod';
import { OUTPUT_FORMATS, outputName } from '../pictures/output-name.ts';
import { PICTURE_MEMORY_BYTES, reportPicture, requireFile } from '../pictures/work.ts';
import { PRESET_NAMES } from './presets.ts';

const configSchema = z.strictObject({
  preset: z.enum(PRESET_NAMES).default('WhiteLayer_v4'),
  blend: z
    .number()
    .min(0)
    .max(100)
    .default(100)
    .describe('How much of the developed picture is mixed into the original, in percent'),
  format: z.enum(OUTPUT_FORMATS).default('jpeg'),
  quality: z.int().min(1).max(100).default(85),
  width: z
    .int()
    .min(1)
    .max(16_000)
    .optional()
    .describe('The greatest width; smaller photos stay as they are'),
  repair: z.boolean().default(false).describe('Take what is readable of broken files'),
});

/** Develops a photo with a preset, mixed with the original. */
export const developProcessor = defineProcessor({
  name: 'photos.develop',
  version: '1.0.0',
  description: 'Develops photos with a preset: light, contrast, colour, white balance, sharpness',
  isolation: 'process',
  idempotent: true,
  module: import.meta.url,
  max_memory_bytes: PICTURE_MEMORY_BYTES,
  config: configSchema,
  input: z.looseObject({ photo_id: z.int().positive().optional() }).nullish(),
  async run(item, context) {
    const file = requireFile(item);
    const { config, signal } = context;
    // Imported where items run: the codecs take longer to load than most commands take.
    const { develop } = await import('./develop.ts');
    const output = outputName(file.name, config.format);
    const developed = await develop(file.path, context.output(output), {
      ...config,
      name: file.name,
      signal,
      progress: (step, percent) => context.progress(step, percent),
    });
    reportPicture(context, developed);
    const { width, height } = developed;
    return { output, width, height, preset: config.preset, blend: config.blend };
  },
});
