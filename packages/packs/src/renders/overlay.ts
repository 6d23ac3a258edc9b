import sharp from 'sharp';
import { ImageError } from '../pictures/image-error.ts';
import { change, decode, type Pixels } from '../pictures/pixels.ts';
import { openPicture } from '../pictures/source.ts';
import type { StepOf } from './steps.ts';

type Placing = Pick<StepOf<'watermark'>, 'position' | 'margin' | 'opacity'>;

/**
 * Writes a text on a picture.
 *
 * @throws An error with code `dependency_missing` when the machine has no font.
 */
export async function withText(pixels: Pixels, step: StepOf<'watermark'>): Promise<Pixels> {
  await requireFont();
  const shorter = Math.min(pixels.width, pixels.height);
  const size = (shorter * step.size) / 100;
  const letters = await typeset(step.text, { color: step.color, size });
  return await placed(pixels, await shadowed(letters, size), step);
}

/**
 * Puts an image on a picture, scaled to a part of its width.
 *
 * @throws ImageError when the image cannot be read; drawings (SVG) are refused.
 */
export async function withImage(pixels: Pixels, step: StepOf<'composite'>): Promise<Pixels> {
  const width = Math.max(1, Math.round((pixels.width * step.width) / 100));
  const overlay = await readOverlay(Buffer.from(step.image, 'base64'), width);
  return await placed(pixels, overlay, step);
}

async function readOverlay(content: Buffer, width: number): Promise<Pixels> {
  try {
    const source = await openPicture(content);
    return await decode(source, { fit: { width, fit: 'inside', enlarge: true, background: '#ffffff' } });
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new ImageError(error.reason, `the image of the composite step: ${error.message}`, { cause: error });
  }
}

/** Puts something small on a picture; what is larger than the room within the margins is scaled down. */
async function placed(
  pixels: Pixels,
  overlay: Pixels,
  { position, margin, opacity }: Placing,
): Promise<Pixels> {
  const gap = Math.round((Math.min(pixels.width, pixels.height) * margin) / 100);
  const room = { width: Math.max(1, pixels.width - 2 * gap), height: Math.max(1, pixels.height - 2 * gap) };
  const fitted = await change(overlay, (picture) =>
    picture.resize({ ...room, fit: 'inside', withoutEnlargement: true }).ensureAlpha(),
  );
  const faded = await change(fitted, (picture) => picture.linear([1, 1, 1, opacity / 100], [0, 0, 0, 0]));
  const { data, width, height, channels } = faded;
  const left = along(position, ['left', 'right'], pixels.width - width, gap);
  const top = along(position, ['top', 'bottom'], pixels.height - height, gap);
  const input = { input: data, raw: { width, height, channels }, left, top };
  const result = await change(pixels, (picture) => picture.composite([input]));
  return pixels.channels === result.channels
    ? result
    : await change(result, (picture) => picture.removeAlpha());
}

/** The offset along one axis: at its beginning, at its end, or in the middle. */
function along(position: string, [first, last]: [string, string], free: number, gap: number): number {
  if (position.split('-').includes(first)) return Math.min(gap, free);
  if (position.split('-').includes(last)) return Math.max(0, free - gap);
  return Math.round(free / 2);
}

/** Draws a text as pixels; `size` is the height of its letters in pixels. */
async function typeset(text: string, { color, size }: { color: string; size: number }): Promise<Pixels> {
  const markup = `<span foreground="${color}">${escapeMarkup(text)}</span>`;
  // At 72 dots per inch a point of the font is a pixel.
  const font = `sans-serif bold ${Math.max(1, Math.round(size))}`;
  const picture = sharp({ text: { text: markup, font, rgba: true, dpi: 72 } });
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 4 };
}

/** Puts a soft dark shadow behind letters, so that they can be read on any ground. */
async function shadowed(letters: Pixels, size: number): Promise<Pixels> {
  const edge = Math.max(1, Math.round(size * 0.15));
  const background = { r: 0, g: 0, b: 0, alpha: 0 };
  const borders = { top: edge, bottom: edge, left: edge, right: edge, background };
  const framed = await change(letters, (picture) => picture.extend(borders));
  const shadow = await change(framed, (picture) =>
    picture.linear([0, 0, 0, 1], [0, 0, 0, 0]).blur(edge / 2 + 0.3),
  );
  const { data, width, height, channels } = framed;
  return await change(shadow, (picture) =>
    picture.composite([{ input: data, raw: { width, height, channels } }]),
  );
}

function escapeMarkup(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Without any font each letter is drawn as the same empty box, and a thin one is as wide as a broad one. */
async function requireFont(): Promise<void> {
  const [thin, broad] = await Promise.all(
    ['iiii', 'WWWW'].map((text) => typeset(text, { color: '#000000', size: 20 })),
  );
  if (thin?.width !== broad?.width) return;
  const message =
    'watermarks need a font, and this machine has none: install one (Debian and Ubuntu: apt-get install fonts-dejavu-core)';
  throw Object.assign(new Error(message), { code: 'dependency_missing', permanent: true });
}
