import sharp, { type Metadata } from 'sharp';
import { tiffOf } from './exif.ts';
import { emptyPicture, explainDecoding, MAX_PIXELS, tooManyPixels } from './image-error.ts';
import { type PictureFormat, type Sniffed, sniff } from './sniff.ts';

/** A picture that was looked at and not decoded yet. Sizes are those of the upright picture. */
export type Source = {
  input: string | Buffer;
  format: PictureFormat;
  bytes: number;
  width: number;
  height: number;
  /** Pictures in the file; of an animation or a TIFF of several pages only the first is used. */
  frames: number;
  /** Without the name in front; as it is in the file. */
  exif: Buffer | null;
  xmp: string | null;
  /** Read what is readable of a broken file. */
  repair: boolean;
  is_cut: boolean;
};

/** Gives the libraries below the manners of one among many: one thread a picture, nothing kept. */
export function shareMachine(): void {
  sharp.concurrency(1);
  sharp.cache(false);
}

/**
 * Looks at a picture: its format by content, its size, its tags. Nothing is decoded.
 *
 * @param options.repair Go on with a broken file as far as it can be read. @default false
 * @param options.name The file's own name; helps to tell camera raw files.
 * @throws ImageError when it is no picture, or one with no or too many pixels.
 */
export async function openPicture(
  input: string | Buffer,
  { repair = false, name = '' }: { repair?: boolean; name?: string } = {},
): Promise<Source> {
  shareMachine();
  const sniffed = sniff(input, name);
  const metadata = await readHeader(input, sniffed, repair);
  const { width, height } = metadata.autoOrient;
  if (width === 0 || height === 0) throw emptyPicture();
  if (width * height > MAX_PIXELS) throw tooManyPixels({ width, height });
  return {
    input,
    ...sniffed,
    width,
    height,
    frames: metadata.pages ?? 1,
    exif: metadata.exif ? tiffOf(metadata.exif) : null,
    xmp: metadata.xmpAsString ?? null,
    repair,
  };
}

/** Turns what a decoder says of this picture into words for people. */
export function explain(
  error: unknown,
  { format, is_cut, repair }: Pick<Source, 'format' | 'is_cut' | 'repair'>,
): Error {
  // The decoders of WebP and AVIF give all of a picture or nothing.
  const canBeRepaired = format !== 'webp' && format !== 'avif';
  return explainDecoding(error, { label: LABELS[format], is_cut, can_be_repaired: canBeRepaired, repair });
}

const LABELS: Record<PictureFormat, string> = {
  avif: 'AVIF',
  gif: 'GIF',
  jpeg: 'JPEG',
  png: 'PNG',
  tiff: 'TIFF',
  webp: 'WebP',
};

async function readHeader(input: string | Buffer, sniffed: Sniffed, repair: boolean): Promise<Metadata> {
  try {
    // Without the limit of pixels only here, where none are decoded: so the refusal can say the size.
    return await sharp(input, { limitInputPixels: false, failOn: repair ? 'none' : 'error' }).metadata();
  } catch (error) {
    throw explain(error, { ...sniffed, repair });
  }
}
