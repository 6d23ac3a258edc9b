import { defineProcessor, permanent } from '@sheaf/engine/processor';
import { z } from 'zod';
import { outputName } from '../pictures/output-name.ts';
import { PICTURE_MEMORY_BYTES, reportPicture, requireFile } from '../pictures/work.ts';
import { choicesSchema, chosen } from './choices.ts';
import { findPipeline, shippedPipelines } from './pipelines.ts';
import { type Step, stepsSchema } from './steps.ts';

/** Without a choice the first pipeline is taken. */
const DEFAULT_PIPELINE_ID = 1;

const configSchema = z
  .strictObject({
    pipeline_id: z.int().positive().optional().describe('The number of a pipeline'),
    pipeline: z.string().optional().describe('The name of a pipeline'),
    steps: stepsSchema.optional().describe('Steps of your own'),
    ...choicesSchema.shape,
    repair: z.boolean().default(false).describe('Take what is readable of broken files'),
  })
  .superRefine((config, context) => {
    const { pipeline_id, pipeline, steps } = config;
    if ([pipeline_id, pipeline, steps].filter((choice) => choice !== undefined).length > 1) {
      context.addIssue({ code: 'custom', message: 'Give one of pipeline_id, pipeline and steps.' });
    } else if (stepsOf(config) === undefined) {
      context.addIssue({ code: 'custom', message: unknownPipeline(config) });
    } else if (config.quality !== undefined && stepsOf(config)?.at(-1)?.step !== 'format') {
      context.addIssue({ code: 'custom', message: 'quality needs a format: these steps have none.' });
    }
  });

type Choice = z.infer<typeof choicesSchema> & {
  pipeline_id?: number | undefined;
  pipeline?: string | undefined;
  steps?: Step[] | undefined;
};

/** Takes a picture through a pipeline of steps. */
export const pipelineProcessor = defineProcessor({
  name: 'renders.pipeline',
  version: '1.0.0',
  description: 'Takes pictures through steps: resize, crop, rotate, watermark, composite, adjust, format',
  isolation: 'process',
  idempotent: true,
  module: import.meta.url,
  max_memory_bytes: PICTURE_MEMORY_BYTES,
  config: configSchema,
  input: z.json().optional(),
  async run(item, context) {
    const file = requireFile(item);
    const { config, signal } = context;
    const steps = stepsOf(config);
    if (!steps) throw permanent(unknownPipeline(config), 'input_invalid');
    // Imported where items run: the codecs take longer to load than most commands take.
    const { runPipeline } = await import('./pipeline.ts');
    const rendered = await runPipeline(file.path, (format) => context.output(outputName(file.name, format)), {
      steps,
      repair: config.repair,
      name: file.name,
      signal,
      progress: (step, percent) => context.progress(step, percent),
    });
    reportPicture(context, rendered);
    const { format, width, height } = rendered;
    return { output: outputName(file.name, format), width, height, steps: steps.length };
  },
});

function stepsOf({ steps, pipeline_id, pipeline, ...choices }: Choice): Step[] | undefined {
  const named = steps ?? findPipeline(pipeline_id ?? pipeline ?? DEFAULT_PIPELINE_ID)?.steps;
  return named && chosen(named, choices);
}

function unknownPipeline({ pipeline_id, pipeline }: Choice): string {
  const known = shippedPipelines().map(({ id, name }) => `${id} (${name})`);
  return `There is no pipeline ${pipeline_id ?? pipeline}; there are ${known.join(', ')}.`;
}
