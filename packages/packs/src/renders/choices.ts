import { z } from 'zod';
import { OUTPUT_FORMATS } from '../pictures/output-name.ts';
import { type Step, stepSchema } from './steps.ts';

/** What may be asked of a pipeline without writing its steps anew. */
export const choicesSchema = z.strictObject({
  width: z
    .int()
    .min(1)
    .max(16_000)
    .optional()
    .describe('The greatest width, in place of the one of the steps; small pictures stay as they are'),
  format: z.enum(OUTPUT_FORMATS).optional().describe('The format, in place of the one of the steps'),
  quality: z.int().min(1).max(100).optional().describe('The quality, in place of the one of the steps'),
});

type Choices = z.infer<typeof choicesSchema>;

/** Steps with one's own choices in them. */
export function chosen(steps: readonly Step[], { width, format, quality }: Choices): Step[] {
  const sized = width === undefined ? [...steps] : withWidth(steps, width);
  const last = sized.at(-1);
  if (last?.step === 'format') {
    return [
      ...sized.slice(0, -1),
      { ...last, format: format ?? last.format, quality: quality ?? last.quality },
    ];
  }
  return format === undefined ? sized : [...sized, stepSchema.parse({ step: 'format', format, quality })];
}

/** A width alone: the height follows, except where a shape is asked for. */
function withWidth(steps: readonly Step[], width: number): Step[] {
  const at = steps.findIndex(({ step }) => step === 'resize');
  const step = steps[at];
  if (step?.step !== 'resize') return [stepSchema.parse({ step: 'resize', width }), ...steps];
  const { height, ...rest } = step;
  const sized = height === undefined || step.fit === 'inside' ? { ...rest, width } : { ...step, width };
  return steps.with(at, sized);
}
