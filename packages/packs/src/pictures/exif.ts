/** EXIF as JPEG files carry it: six bytes of name, then a small TIFF file. */
const NAME = 'Exif\0\0';

const ORIENTATION = 0x0112;
const EXIF_DIRECTORY = 0x8769;
const PIXEL_WIDTH = 0xa002;
const PIXEL_HEIGHT = 0xa003;

const SHORT = 3;
const LONG = 4;
const ENTRY_BYTES = 12;

/** The TIFF part of EXIF, or null when these bytes are something else. Some formats leave the name out. */
export function tiffOf(exif: Buffer): Buffer | null {
  const tiff = exif.toString('latin1', 0, NAME.length) === NAME ? exif.subarray(NAME.length) : exif;
  return tiff.length > 8 && /^(?:II\*|MM)/.test(tiff.toString('latin1', 0, 3)) ? tiff : null;
}

/**
 * EXIF made true for a picture that was turned upright, changed and perhaps scaled: orientation and
 * size say what the pixels are, and the small preview of the old picture is unhooked.
 *
 * @param tiff Stays as it is. What cannot be understood in it is left alone.
 */
export function exifFor(tiff: Buffer, size: { width: number; height: number }): Buffer {
  const copy = Buffer.from(tiff);
  const { long } = numbers(copy);
  const first = long(4);
  for (const entry of entries(copy, first)) {
    if (entry.tag === ORIENTATION) write(copy, entry, 1);
    if (entry.tag === EXIF_DIRECTORY) resize(copy, long(entry.at + 8), size);
  }
  unhookPreview(copy, first);
  return copy;
}

type Entry = { tag: number; type: number; at: number };

function resize(tiff: Buffer, directory: number, { width, height }: { width: number; height: number }): void {
  for (const entry of entries(tiff, directory)) {
    if (entry.tag === PIXEL_WIDTH) write(tiff, entry, width);
    if (entry.tag === PIXEL_HEIGHT) write(tiff, entry, height);
  }
}

/** The entries of a directory, as far as they lie within the bytes. */
function* entries(tiff: Buffer, directory: number): Generator<Entry> {
  if (directory + 2 > tiff.length) return;
  const { short } = numbers(tiff);
  const count = short(directory);
  for (let index = 0; index < count; index += 1) {
    const at = directory + 2 + index * ENTRY_BYTES;
    if (at + ENTRY_BYTES > tiff.length) return;
    yield { tag: short(at), type: short(at + 2), at };
  }
}

/** Ends the list of directories after the first; the second describes the preview. */
function unhookPreview(tiff: Buffer, first: number): void {
  if (first + 2 > tiff.length) return;
  const next = first + 2 + numbers(tiff).short(first) * ENTRY_BYTES;
  if (next + 4 <= tiff.length) tiff.writeUInt32LE(0, next);
}

function write(tiff: Buffer, { type, at }: Entry, value: number): void {
  const { little } = numbers(tiff);
  if (type === SHORT && value <= 0xffff) {
    little ? tiff.writeUInt16LE(value, at + 8) : tiff.writeUInt16BE(value, at + 8);
  }
  if (type === LONG) little ? tiff.writeUInt32LE(value, at + 8) : tiff.writeUInt32BE(value, at + 8);
}

function numbers(tiff: Buffer): { little: boolean; short(at: number): number; long(at: number): number } {
  const little = tiff.toString('latin1', 0, 2) === 'II';
  return {
    little,
    short: (at) => (little ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at)),
    long: (at) => (little ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at)),
  };
}
