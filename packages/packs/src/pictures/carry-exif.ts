import { crc32 } from 'node:zlib';
import type { OutputFormat } from './output-name.ts';

/** The pixels a finished file holds. */
type Size = { width: number; height: number; channels: number };

/**
 * Puts EXIF into a finished picture file. The encoders take EXIF only from the file they read, and
 * here they were given bare pixels.
 *
 * @param tiff EXIF without the name in front.
 * @returns The file with EXIF; without, when there is more of it than the format can hold.
 */
export function carryExif(format: OutputFormat, file: Buffer, tiff: Buffer, size: Size): Buffer {
  switch (format) {
    case 'jpeg':
      return intoJpeg(file, tiff);
    case 'png':
      return intoPng(file, tiff);
    case 'webp':
      return intoWebp(file, tiff, size);
  }
}

const JPEG_NAME = Buffer.from('Exif\0\0', 'latin1');
const JPEG_START_BYTES = 2;
/** The length of a segment has two bytes, and counts itself. */
const JPEG_SEGMENT_BYTES = 0xffff;

function intoJpeg(file: Buffer, tiff: Buffer): Buffer {
  const length = 2 + JPEG_NAME.length + tiff.length;
  if (length > JPEG_SEGMENT_BYTES) return file;
  const marker = Buffer.from([0xff, 0xe1, length >> 8, length & 0xff]);
  const [start, rest] = [file.subarray(0, JPEG_START_BYTES), file.subarray(JPEG_START_BYTES)];
  return Buffer.concat([start, marker, JPEG_NAME, tiff, rest]);
}

/** The signature and the IHDR chunk, with which every PNG begins. */
const PNG_START_BYTES = 33;

function intoPng(file: Buffer, tiff: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from('eXIf'), tiff]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(tiff.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([
    file.subarray(0, PNG_START_BYTES),
    length,
    body,
    sum,
    file.subarray(PNG_START_BYTES),
  ]);
}

const RIFF_START_BYTES = 12;
const HAS_EXIF = 0x08;
const HAS_ALPHA = 0x10;

/** A WebP file with tags has a header of its own, VP8X; a plain one gets it here. */
function intoWebp(file: Buffer, tiff: Buffer, { width, height, channels }: Size): Buffer {
  const rest = Buffer.from(file.subarray(RIFF_START_BYTES));
  const isExtended = rest.toString('latin1', 0, 4) === 'VP8X';
  if (isExtended) rest[8] = (rest[8] ?? 0) | HAS_EXIF;
  const header = Buffer.alloc(isExtended ? 0 : 10);
  if (!isExtended) {
    header[0] = HAS_EXIF | (channels === 4 ? HAS_ALPHA : 0);
    header.writeUIntLE(width - 1, 4, 3);
    header.writeUIntLE(height - 1, 7, 3);
  }
  const chunks = [isExtended ? header : riffChunk('VP8X', header), rest, riffChunk('EXIF', tiff)];
  return riffChunk('RIFF', Buffer.concat([Buffer.from('WEBP'), ...chunks]));
}

function riffChunk(name: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8, name, 'latin1');
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}
