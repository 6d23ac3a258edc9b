import { writeFileSync } from 'node:fs';
import { encode, NO_TAGS } from '../pictures/encode.ts';
import { ImageError, MAX_PIXELS } from '../pictures/image-error.ts';
import { applyLook } from '../pictures/look.ts';
import type { OutputFormat } from '../pictures/output-name.ts';
import { change, decode, type Pixels, resized } from '../pictures/pixels.ts';
import { sharpened } from '../pictures/sharpen.ts';
import { openPicture, type Source } from '../pictures/source.ts';
import { withImage, withText } from './overlay.ts';
import type { Step, StepOf } from './steps.ts';

export type PipelineOptions = {
  steps: readonly Step[];
  /** Take what is readable of a broken file. */
  repair: boolean;
  /** The file's own name, for recognising camera raw files. */
  name?: string;
  signal?: AbortSignal;
  progress?: (step: string, percent: number) => void;
};

/** What became of a picture. */
export type Rendered = {
  format: OutputFormat;
  width: number;
  height: number;
  /** Pixels of the input. */
  pixels: number;
  input_bytes: number;
  output_bytes: number;
  /** Pictures in the file, of which the first was used. */
  frames: number;
};

/**
 * Takes a picture through the steps, one after the other, and writes it.
 *
 * @param outputPath Called with the format once that is known, as the input may decide it.
 * @throws ImageError when the file cannot be read, or a step does not fit the picture.
 */
export async function runPipeline(
  inputPath: string,
  outputPath: (format: OutputFormat) => string,
  { steps, repair, name, signal, progress }: PipelineOptions,
): Promise<Rendered> {
  progress?.('read', 0);
  const source = await openPicture(inputPath, { repair, ...(name === undefined ? {} : { name }) });
  const output = outputOf(steps, source);
  const changes = steps.filter((step) => step.step !== 'format');
  let pixels = await decode(source, firstFit(changes));
  for (const [at, step] of changes.entries()) {
    signal?.throwIfAborted();
    progress?.(step.step, Math.round(20 + (60 * at) / changes.length));
    if (!(at === 0 && step.step === 'resize')) pixels = await apply(pixels, step, signal);
  }
  signal?.throwIfAborted();
  progress?.('write', 80);
  const { format, quality, keep_exif } = output;
  const bytes = await encode(pixels, { format, quality, tags: keep_exif ? source : NO_TAGS });
  // Nothing else runs here meanwhile, so that a trip to another thread gains nothing.
  writeFileSync(outputPath(format), bytes);
  progress?.('write', 100);
  return {
    format,
    width: pixels.width,
    height: pixels.height,
    pixels: source.width * source.height,
    input_bytes: source.bytes,
    output_bytes: bytes.length,
    frames: source.frames,
  };
}

/** A resize that comes first is done by the decoder, which then reads large JPEGs at a fraction of the cost. */
function firstFit([first]: readonly Step[]): { fit?: StepOf<'resize'> } {
  return first?.step === 'resize' ? { fit: first } : {};
}

/** The format step, or what stands for it: the input's own format where it can be written. */
function outputOf(steps: readonly Step[], source: Source): Omit<StepOf<'format'>, 'step'> {
  const last = steps.at(-1);
  if (last?.step === 'format') return last;
  const { format } = source;
  const own = format === 'png' || format === 'webp' ? format : format === 'gif' ? 'png' : 'jpeg';
  return { format: own, quality: 85, keep_exif: false };
}

async function apply(pixels: Pixels, step: Step, signal?: AbortSignal): Promise<Pixels> {
  switch (step.step) {
    case 'resize':
      return await change(pixels, (picture) => resized(picture, pixels, step));
    case 'crop':
      return await cropped(pixels, step);
    case 'rotate':
      return await rotated(pixels, step);
    case 'watermark':
      return await withText(pixels, step);
    case 'composite':
      return await withImage(pixels, step);
    case 'adjust':
      await applyLook(pixels, step, signal);
      return await sharpened(pixels, step.sharpen);
    case 'format':
      return pixels;
  }
}

async function cropped(pixels: Pixels, step: StepOf<'crop'>): Promise<Pixels> {
  const across = step.unit === 'percent' ? pixels.width / 100 : 1;
  const down = step.unit === 'percent' ? pixels.height / 100 : 1;
  const area = {
    left: Math.round(step.left * across),
    top: Math.round(step.top * down),
    width: Math.max(1, Math.round(step.width * across)),
    height: Math.max(1, Math.round(step.height * down)),
  };
  if (area.left + area.width > pixels.width || area.top + area.height > pixels.height) {
    throw new ImageError(
      'does_not_fit',
      `the crop of ${area.width} × ${area.height} at ${area.left}, ${area.top} reaches beyond the picture ` +
        `(${pixels.width} × ${pixels.height}): crop less, or by percent`,
    );
  }
  return await change(pixels, (picture) => picture.extract(area));
}

async function rotated(pixels: Pixels, { degrees, background }: StepOf<'rotate'>): Promise<Pixels> {
  const angle = (degrees * Math.PI) / 180;
  const [across, down] = [Math.abs(Math.cos(angle)), Math.abs(Math.sin(angle))];
  const { width, height } = pixels;
  const size = (width * across + height * down) * (width * down + height * across);
  if (size > MAX_PIXELS) {
    throw new ImageError(
      'does_not_fit',
      `turned by ${degrees}° the picture has more than ${MAX_PIXELS / 1e6} megapixels: resize it first`,
    );
  }
  return await change(pixels, (picture) => picture.rotate(degrees, { background }));
}
