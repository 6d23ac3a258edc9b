import type { Sharp } from 'sharp';
import { carryExif } from './carry-exif.ts';
import { exifFor } from './exif.ts';
import { ImageError } from './image-error.ts';
import type { OutputFormat } from './output-name.ts';
import { asPicture, type Pixels } from './pixels.ts';

/** The tags a picture carries along; EXIF without the name in front. */
export type Tags = { exif: Buffer | null; xmp: string | null };

export const NO_TAGS: Tags = { exif: null, xmp: null };

/**
 * Encodes pixels. Transparency is put on white where the format has none (JPEG).
 *
 * @param options.quality 1–100; PNG is lossless and takes no notice of it.
 * @throws ImageError when the format cannot hold a picture of this size.
 */
export async function encode(
  pixels: Pixels,
  { format, quality, tags }: { format: OutputFormat; quality: number; tags: Tags },
): Promise<Buffer> {
  const longest = Math.max(pixels.width, pixels.height);
  if (longest > LONGEST_EDGE[format]) {
    throw new ImageError(
      'does_not_fit',
      `${format} holds at most ${LONGEST_EDGE[format]} pixels an edge, this picture has ${longest}: choose png or a smaller width`,
    );
  }
  const picture = tags.xmp === null ? asPicture(pixels) : asPicture(pixels).withXmp(tags.xmp);
  const file = await inFormat(picture, format, quality).toBuffer();
  return tags.exif === null ? file : carryExif(format, file, exifFor(tags.exif, pixels), pixels);
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
