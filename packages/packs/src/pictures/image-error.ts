/** What is wrong with a picture, one word for each thing a person would do differently. */
export type ImageReason =
  | 'damaged'
  | 'does_not_fit'
  | 'empty_file'
  | 'empty_picture'
  | 'too_many_pixels'
  | 'truncated'
  | 'unsupported_format';

/**
 * A picture that cannot be worked on, however often it is tried: its item fails at once.
 *
 * The message says what is wrong, why, and what to do; it never holds a path.
 */
export class ImageError extends Error {
  readonly code = 'input_invalid';
  readonly permanent = true;
  readonly reason: ImageReason;

  constructor(reason: ImageReason, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.name = 'ImageError';
    this.reason = reason;
  }
}

/** What is known of a picture when its decoder gives up. */
export type DecodedSource = { label: string; is_cut: boolean; can_be_repaired: boolean; repair: boolean };

/**
 * Turns what a decoder says into words for people. Problems of the machine (no memory, the file is
 * gone) come back as they are: they may pass, and another attempt is worth it.
 */
export function explainDecoding(error: unknown, source: DecodedSource): Error {
  if (error instanceof ImageError) return error;
  const said = error instanceof Error ? error.message : String(error);
  if (/out of memory|unable to (?:allocate|malloc)|file is missing/i.test(said)) {
    return error instanceof Error ? error : new Error(said);
  }
  if (/exceeds pixel limit/i.test(said)) return tooManyPixels(null, { cause: error });
  if (/empty jpeg image/i.test(said)) return emptyPicture({ cause: error });
  const remedy = whatToDo(source);
  if (source.is_cut || /premature end|unexpected end|end of file|bad seek/i.test(said)) {
    return new ImageError('truncated', `the ${source.label} ends early (truncated): ${remedy}`, {
      cause: error,
    });
  }
  return new ImageError('damaged', `the ${source.label} is damaged and cannot be read: ${remedy}`, {
    cause: error,
  });
}

/**
 * The refusal of a picture above the limit of pixels.
 *
 * @param size Null when the decoder refused without saying the size.
 */
export function tooManyPixels(
  size: { width: number; height: number } | null,
  options?: { cause: unknown },
): ImageError {
  const what =
    size === null
      ? 'the picture has too many pixels'
      : `the picture says it is ${size.width} × ${size.height} pixels (${megapixels(size)} megapixels)`;
  const message = `${what}: at most ${MAX_PIXELS / 1e6} megapixels are read; scale it down first`;
  return new ImageError('too_many_pixels', message, options);
}

export function emptyPicture(options?: { cause: unknown }): ImageError {
  const message = 'the picture says it has no pixels (0 wide or 0 high): export it again';
  return new ImageError('empty_picture', message, options);
}

/** The most pixels a picture may have, read or written; a small file can claim billions. */
export const MAX_PIXELS = 50_000_000;

function whatToDo({ can_be_repaired, repair }: DecodedSource): string {
  if (repair) return 'even repair could not read it; export or copy the file again';
  if (!can_be_repaired) return 'export or copy the file again';
  return 'retry with repair: true to keep what is readable, or copy the file again';
}

function megapixels({ width, height }: { width: number; height: number }): string {
  return Math.round((width * height) / 1e6).toLocaleString('en-US');
}
