import { writeFileSync } from 'node:fs';
import { inBands } from '../pictures/bands.ts';
import { encode, encodeSteps, reencode } from '../pictures/encode.ts';
import { applyLook, type Look } from '../pictures/look.ts';
import type { OutputFormat } from '../pictures/output-name.ts';
import { asPicture, decode, type Pixels, type Reading } from '../pictures/pixels.ts';
import { sharpened, sharpening } from '../pictures/sharpen.ts';
import { openPicture, type Source } from '../pictures/source.ts';
import { type PresetName, presetNamed } from './presets.ts';

export type DevelopOptions = {
  /** A preset that ships, or a look of one's own. */
  preset: PresetName | Look;
  /** How much of the developed picture is mixed into the original: 0 is the original, 100 all of it. */
  blend: number;
  format: OutputFormat;
  /** 1–100. */
  quality: number;
  /** The greatest width; smaller pictures stay as they are. @default the width of the original */
  width?: number | undefined;
  /** Take what is readable of a broken file. */
  repair: boolean;
  /** The file's own name, for recognising camera raw files. */
  name?: string;
  signal?: AbortSignal;
  progress?: (step: string, percent: number) => void;
};

/** What became of a photo. */
export type Developed = {
  width: number;
  height: number;
  /** Pixels of the original. */
  pixels: number;
  input_bytes: number;
  output_bytes: number;
  /** Pictures in the file, of which the first was used. */
  frames: number;
};

/**
 * Develops a photo with a preset and writes it: upright, in sRGB, with its EXIF and XMP.
 *
 * @throws ImageError when the file is no picture that can be read.
 */
export async function develop(
  inputPath: string,
  outputPath: string,
  options: DevelopOptions,
): Promise<Developed> {
  const { format, width, repair, name, signal, progress } = options;
  progress?.('read', 0);
  const source = await openPicture(inputPath, { repair, ...(name === undefined ? {} : { name }) });
  const reading: Reading = {
    opaque: format === 'jpeg',
    ...(width === undefined ? {} : { fit: { width, fit: 'inside', enlarge: false, background: '#fff' } }),
  };
  const written = await encoded(source, reading, options);
  signal?.throwIfAborted();
  // Nothing else runs here meanwhile, so that a trip to another thread gains nothing.
  writeFileSync(outputPath, written.file);
  progress?.('write', 100);
  return {
    width: written.width,
    height: written.height,
    pixels: source.width * source.height,
    input_bytes: source.bytes,
    output_bytes: written.file.length,
    frames: source.frames,
  };
}

/** The finished file. Pixels come into our hands only where a look needs them. */
async function encoded(
  source: Source,
  reading: Reading,
  { preset, blend, format, quality, signal, progress }: DevelopOptions,
): Promise<{ file: Buffer; width: number; height: number }> {
  const writing = { format, quality, tags: source };
  if (blend === 0) {
    signal?.throwIfAborted();
    progress?.('write', 30);
    return await reencode(source, reading, writing);
  }
  const original = await decode(source, reading);
  signal?.throwIfAborted();
  progress?.('develop', 30);
  const look = typeof preset === 'string' ? presetNamed(preset) : preset;
  const developed = blend === 100 ? original : { ...original, data: Buffer.from(original.data) };
  await applyLook(developed, look, signal);
  if (blend === 100) {
    progress?.('write', 70);
    return await encodeSteps(sharpening(asPicture(developed), look.sharpen), developed, writing);
  }
  const finished = await sharpened(developed, look.sharpen);
  await mix(finished, original, blend / 100, signal);
  signal?.throwIfAborted();
  progress?.('write', 70);
  return { ...finished, file: await encode(finished, writing) };
}

/** Pulls the pixels towards those of another picture of the same size; a share of 1 leaves them as they are. */
async function mix(pixels: Pixels, towards: Pixels, share: number, signal?: AbortSignal): Promise<void> {
  const { data, channels } = pixels;
  const other = towards.data;
  // Whole numbers with 16 bits behind the point: four times faster than rounding fractions.
  const weight = Math.round(share * 65_536);
  await inBands(data.length, channels, signal, (from, to) => {
    for (let at = from; at < to; at += 1) {
      // Both have a byte here: they are of one size.
      const before = other[at] as number;
      data[at] = before + ((((data[at] as number) - before) * weight + 32_768) >> 16);
    }
  });
}
