import { z } from 'zod';
import { lookSchema } from '../pictures/look.ts';
import { OUTPUT_FORMATS } from '../pictures/output-name.ts';

const colour = z.string().regex(/^#[0-9a-f]{6}$/i, 'A colour is written like #1a2b3c.');
const edge = z.int().min(1).max(16_000);
const percent = z.number().min(0).max(100);

/** Where something is put on a picture. */
export const POSITIONS = [
  'top-left',
  'top',
  'top-right',
  'left',
  'center',
  'right',
  'bottom-left',
  'bottom',
  'bottom-right',
] as const;

const placing = {
  position: z.enum(POSITIONS).default('bottom-right'),
  margin: percent.default(2).describe('Distance to the edges, in percent of the shorter edge'),
  opacity: percent.default(60),
};

const resizeSchema = z
  .strictObject({
    step: z.literal('resize'),
    width: edge.optional(),
    height: edge.optional(),
    fit: z.enum(['inside', 'cover', 'contain', 'fill']).default('inside'),
    enlarge: z.boolean().default(false).describe('Whether a small picture may become larger'),
    background: colour.default('#ffffff'),
  })
  .refine(({ width, height }) => width !== undefined || height !== undefined, {
    message: 'resize needs a width, a height or both.',
  });

const cropSchema = z.strictObject({
  step: z.literal('crop'),
  left: z.number().min(0).default(0),
  top: z.number().min(0).default(0),
  width: z.number().positive(),
  height: z.number().positive(),
  unit: z.enum(['pixels', 'percent']).default('pixels'),
});

const rotateSchema = z.strictObject({
  step: z.literal('rotate'),
  degrees: z.number().min(-360).max(360).describe('Clockwise'),
  background: colour.default('#ffffff').describe('Fills the corners when not turned by quarters'),
});

const watermarkSchema = z.strictObject({
  step: z.literal('watermark'),
  text: z
    .string()
    .min(1)
    .max(200)
    // What XML cannot hold, not even escaped; the text is set by a library that reads markup.
    .regex(/^[^\p{Cc}\p{Cs}\ufffe\uffff]+$/u, 'The text must not hold control characters.'),
  color: colour.default('#ffffff'),
  size: z
    .number()
    .min(0.5)
    .max(50)
    .default(4)
    .describe('Height of the letters, in percent of the shorter edge'),
  ...placing,
});

const compositeSchema = z.strictObject({
  step: z.literal('composite'),
  image: z.base64().max(1_400_000).describe('A PNG, JPEG or WebP of up to 1 MB, in base64'),
  width: z.number().min(1).max(100).default(20).describe('In percent of the width of the picture'),
  ...placing,
});

const adjustSchema = lookSchema.extend({ step: z.literal('adjust') });

const formatSchema = z.strictObject({
  step: z.literal('format'),
  format: z.enum(OUTPUT_FORMATS),
  quality: z.int().min(1).max(100).default(85).describe('PNG is lossless and takes no notice of it'),
  keep_exif: z.boolean().default(false).describe('Whether camera, place and author go into the output'),
});

/** One thing a pipeline does to a picture. */
export const stepSchema = z.discriminatedUnion('step', [
  resizeSchema,
  cropSchema,
  rotateSchema,
  watermarkSchema,
  compositeSchema,
  adjustSchema,
  formatSchema,
]);

/** The steps of a pipeline, in their order. The format comes last; without it a picture keeps its own. */
export const stepsSchema = z
  .array(stepSchema)
  .min(1)
  .max(20)
  .refine((steps) => steps.every(({ step }, at) => step !== 'format' || at === steps.length - 1), {
    message: 'format must be the last step.',
  });

export type Step = z.infer<typeof stepSchema>;

/** The step of one kind. */
export type StepOf<Kind extends Step['step']> = Extract<Step, { step: Kind }>;

/** A step as people write it: what has a default may be left out. */
export type StepInput = z.input<typeof stepSchema>;
