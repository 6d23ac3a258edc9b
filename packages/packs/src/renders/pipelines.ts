import { type Step, type StepInput, stepsSchema } from './steps.ts';

/** A pipeline that ships: steps with a number and a name. */
export type Pipeline = { id: number; name: string; description: string; steps: Step[] };

const SHIPPED: readonly (Omit<Pipeline, 'steps'> & { steps: StepInput[] })[] = [
  {
    id: 1,
    name: '3-view-render',
    description: '3-view render: at most 2400 pixels, a touch of contrast and sharpness, JPEG',
    steps: [
      { step: 'resize', width: 2400, height: 2400 },
      { step: 'adjust', contrast: 6, sharpen: 20 },
      { step: 'format', format: 'jpeg', quality: 90 },
    ],
  },
  {
    id: 2,
    name: 'thumbnails',
    description: 'Small previews: at most 320 pixels, WebP',
    steps: [
      { step: 'resize', width: 320, height: 320 },
      { step: 'format', format: 'webp', quality: 80 },
    ],
  },
];

/** The pipelines that ship, their steps complete with the defaults of what is left out. */
export function shippedPipelines(): Pipeline[] {
  return SHIPPED.map((pipeline) => ({ ...pipeline, steps: stepsSchema.parse(pipeline.steps) }));
}

/** A pipeline by its number or its name. */
export function findPipeline(which: number | string): Pipeline | undefined {
  return shippedPipelines().find(({ id, name }) => id === which || name === which);
}
