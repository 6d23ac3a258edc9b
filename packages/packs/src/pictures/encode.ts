import type { Sharp } from 'sharp';
import { carryExif } from './carry-exif.ts';
import { exifFor } from './exif.ts';
import { ImageError } from './image-error.ts';
import type { OutputFormat } from './output-name.ts';
import { asPicture, fittedSize, type Pixels, type Reading, reader } from './pixels.ts';
import { explain, type Source } from './source.ts';

/** The tags a picture carries along; EXIF without the name in front. */
export type Tags = { exif: Buffer | null; xmp: string | null };

export const NO_TAGS: Tags = { exif: null, xmp: null };

/** How a picture is written. Quality is 1–100; PNG is lossless and takes no notice of it. */
export type Writing = { format: OutputFormat; quality: number; tags: Tags };

/**
 * Encodes pixels. Transparency is put on white where the format has none (JPEG).
 *
 * @throws ImageError when the format cannot hold a picture of this size.
 */
export async function encode(pixels: Pixels, writing: Writing): Promise<Buffer> {
  return (await encodeSteps(asPicture(pixels), pixels, writing)).file;
}

/**
 * Runs steps of sharp and encodes what comes out, without pixels in between.
 *
 * @param size What comes out of the steps, to refuse what the format cannot hold.
 * @throws ImageError when the format cannot hold a picture of this size; else what sharp throws.
 */
export async function encodeSteps(
  steps: Sharp,
  size: { width: number; height: number },
  { format, quality, tags }: Writing,
): Promise<{ file: Buffer; width: number; height: number }> {
  const longest = Math.max(size.width, size.height);
  if (longest > LONGEST_EDGE[format]) {
    throw new ImageError(
      'does_not_fit',
      `${format} holds at most ${LONGEST_EDGE[format]} pixels an edge, this picture has ${longest}: choose png or a smaller width`,
    );
  }
  const picture = tags.xmp === null ? steps : steps.withXmp(tags.xmp);
  const { data, info } = await inFormat(picture, format, quality).toBuffer({ resolveWithObject: true });
  const file = tags.exif === null ? data : carryExif(format, data, exifFor(tags.exif, info), info);
  return { file, width: info.width, height: info.height };
}

/**
 * Reads a picture and writes it, in one go.
 *
 * @throws ImageError when the file cannot be read, or the format cannot hold the picture.
 */
export async function reencode(source: Source, reading: Reading, writing: Writing) {
  const size = reading.fit ? fittedSize(source, reading.fit) : source;
  try {
    return await encodeSteps(reader(source, reading), size, writing);
  } catch (error) {
    throw explain(error, source);
  }
}

const LONGEST_EDGE: Record<OutputFormat, number> = { jpeg: 65_500, webp: 16_383, png: 1_000_000 };

/** At and above this quality colours are kept as sharp as brightness. */
const FULL_COLOUR_QUALITY = 90;

function inFormat(picture: Sharp, format: OutputFormat, quality: number): Sharp {
  switch (format) {
    case 'jpeg':
      return picture
        .flatten({ background: '#fff' })
        .jpeg({ quality, chromaSubsampling: quality >= FULL_COLOUR_QUALITY ? '4:4:4' : '4:2:0' });
    case 'webp':
      return picture.webp({ quality, effort: 3 });
    case 'png':
      return picture.png({ compressionLevel: 6 });
  }
}
