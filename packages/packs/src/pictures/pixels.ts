import sharp, { type Sharp } from 'sharp';
import { ImageError, MAX_PIXELS } from './image-error.ts';
import { explain, type Source, shareMachine } from './source.ts';

/** Pixels in sRGB, one byte a channel, rows from the top; the fourth channel is opacity. */
export type Pixels = { data: Buffer; width: number; height: number; channels: 3 | 4 };

/** How a picture is fitted into a size. With one edge given, the other follows. */
export type Fit = {
  width?: number | undefined;
  height?: number | undefined;
  /** `inside` keeps all of the picture, `cover` crops it, `contain` adds borders, `fill` stretches. */
  fit: 'contain' | 'cover' | 'fill' | 'inside';
  /** Whether a picture may become larger than it is. */
  enlarge: boolean;
  /** The colour of the borders that `contain` adds. */
  background: string;
};

/** How a picture is read. */
export type Reading = {
  /** Scales while decoding, which is much cheaper than scaling afterwards. */
  fit?: Fit;
  /** Puts what is transparent on white. @default false */
  opaque?: boolean;
};

/**
 * Decodes a picture: upright, in sRGB (an embedded profile is applied), 8 bits.
 *
 * @throws ImageError when the picture is broken and `repair` was not asked for, or did not help.
 */
export async function decode(source: Source, reading: Reading = {}): Promise<Pixels> {
  try {
    return await pixelsOf(reader(source, reading));
  } catch (error) {
    throw explain(error, source);
  }
}

/** What `decode` reads, as a step of sharp that nobody has run yet; what it throws is for `explain`. */
export function reader({ input, repair, ...size }: Source, { fit, opaque = false }: Reading): Sharp {
  shareMachine();
  let picture = sharp(input, {
    limitInputPixels: MAX_PIXELS,
    failOn: repair ? 'none' : 'error',
    sequentialRead: true,
  }).autoOrient();
  if (fit) picture = resized(picture, size, fit);
  if (opaque) picture = picture.flatten({ background: '#fff' });
  return picture.toColourspace('srgb');
}

/** Applies one step of sharp to pixels. */
export async function change(pixels: Pixels, step: (picture: Sharp) => Sharp): Promise<Pixels> {
  return await pixelsOf(step(asPicture(pixels)));
}

/** Pixels as the input of sharp. */
export function asPicture({ data, width, height, channels }: Pixels): Sharp {
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS });
}

/**
 * Adds the scaling to a picture of this size.
 *
 * @throws ImageError when the result would have too many pixels.
 */
export function resized(picture: Sharp, size: { width: number; height: number }, fit: Fit): Sharp {
  const target = fittedSize(size, fit);
  if (target.width * target.height > MAX_PIXELS) {
    throw new ImageError(
      'does_not_fit',
      `resizing would make ${target.width} × ${target.height} pixels: at most ${MAX_PIXELS / 1e6} megapixels are made`,
    );
  }
  return picture.resize({
    ...(fit.width === undefined ? {} : { width: fit.width }),
    ...(fit.height === undefined ? {} : { height: fit.height }),
    fit: fit.fit,
    withoutEnlargement: !fit.enlarge,
    background: fit.background,
  });
}

/** The size a picture comes to have. */
export function fittedSize(
  { width, height }: { width: number; height: number },
  fit: Fit,
): { width: number; height: number } {
  const across = fit.width === undefined ? null : fit.width / width;
  const down = fit.height === undefined ? null : fit.height / height;
  if (fit.fit !== 'inside' && across !== null && down !== null) {
    return { width: across * width, height: down * height };
  }
  const scale = Math.min(across ?? Infinity, down ?? Infinity);
  const used = Math.min(scale, fit.enlarge ? Infinity : 1);
  return { width: Math.max(1, Math.round(width * used)), height: Math.max(1, Math.round(height * used)) };
}

async function pixelsOf(picture: Sharp): Promise<Pixels> {
  const { data, info } = await picture.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels !== 3 && channels !== 4) throw new Error(`expected 3 or 4 channels, got ${channels}`);
  return { data, width, height, channels };
}
