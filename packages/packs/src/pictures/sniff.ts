import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { extname } from 'node:path';
import { emptyPicture, ImageError } from './image-error.ts';

/** The kinds of pictures that are read, by their bytes and whatever their name says. */
export type PictureFormat = 'avif' | 'gif' | 'jpeg' | 'png' | 'tiff' | 'webp';

/** What the bytes of a file say before any decoder has seen them. */
export type Sniffed = {
  format: PictureFormat;
  bytes: number;
  /** The file is shorter than its own structure says. False when nothing can be told. */
  is_cut: boolean;
};

/**
 * Names the format of a picture by its first bytes.
 *
 * This is also the wall in front of the decoders: drawings and documents (SVG, PDF) never reach
 * one, as they could read files and load addresses.
 *
 * @param name The file's own name, which alone tells camera raw files from TIFF.
 * @throws ImageError when the file is empty or no picture that is read here.
 */
export function sniff(input: string | Buffer, name = ''): Sniffed {
  const { head, tail, bytes } = typeof input === 'string' ? ends(input) : endsOf(input);
  if (bytes === 0) throw new ImageError('empty_file', 'the file is empty (0 bytes): send it again');
  const format = formatOf(head);
  if (format === null || isCameraRaw(format, head, name)) {
    const what = isCameraRaw(format, head, name) ? CAMERA_RAW : foreign(head);
    throw new ImageError('unsupported_format', what);
  }
  if (saysEmpty(format, head)) throw emptyPicture();
  return { format, bytes, is_cut: isCut(format, head, tail, bytes) };
}

const HEAD_BYTES = 512;
const TAIL_BYTES = 64;

/** Synchronous: five trips to another thread cost more than these few bytes, and than all the header's decoding. */
function ends(path: string): { head: Buffer; tail: Buffer; bytes: number } {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const head = Buffer.alloc(Math.min(HEAD_BYTES, size));
    readSync(file, head, 0, head.length, 0);
    const tail = Buffer.alloc(Math.min(TAIL_BYTES, size));
    readSync(file, tail, 0, tail.length, size - tail.length);
    return { head, tail, bytes: size };
  } finally {
    closeSync(file);
  }
}

function endsOf(content: Buffer): { head: Buffer; tail: Buffer; bytes: number } {
  return {
    head: content.subarray(0, HEAD_BYTES),
    tail: content.subarray(-TAIL_BYTES),
    bytes: content.length,
  };
}

function formatOf(head: Buffer): PictureFormat | null {
  const text = head.toString('latin1');
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'png';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return 'webp';
  if (text.startsWith('II*\0') || text.startsWith('MM\0*')) return 'tiff';
  if (text.startsWith('ftyp', 4) && brands(head).some((brand) => brand === 'avif' || brand === 'avis')) {
    return 'avif';
  }
  return null;
}

/** The brands of an ISO media file: its own and the compatible ones. */
function brands(head: Buffer): string[] {
  const end = Math.min(head.readUInt32BE(0), head.length);
  const found = [head.toString('latin1', 8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) found.push(head.toString('latin1', at, at + 4));
  return found;
}

const CAMERA_RAW =
  'camera raw files are not read here: export the photo as JPEG or TIFF from the raw converter first';

// Most raw formats are TIFF files with a thumbnail in front, which would be developed in its place.
const RAW_EXTENSIONS = new Set(
  '.3fr .arw .cr2 .dng .erf .iiq .kdc .mos .nef .nrw .orf .pef .rw2 .sr2 .srw'.split(' '),
);

const RAW_STARTS = ['FUJIFILMCCD-RAW', 'IIRO', 'IIRS', 'IIU\0'];

function isCameraRaw(format: PictureFormat | null, head: Buffer, name: string): boolean {
  const start = head.toString('latin1', 0, 16);
  if (format !== 'tiff') return RAW_STARTS.some((raw) => start.startsWith(raw));
  return head.toString('latin1', 8, 10) === 'CR' || RAW_EXTENSIONS.has(extname(name).toLowerCase());
}

/** Names what a file is instead of a picture, and what to do with it. */
function foreign(head: Buffer): string {
  const text = head.toString('latin1');
  return FOREIGN.find(([pattern]) => pattern.test(text))?.[1] ?? UNKNOWN;
}

const UNKNOWN = 'this is not a picture that is read here (JPEG, PNG, WebP, TIFF, GIF, AVIF): check the file';

const FOREIGN: readonly [RegExp, string][] = [
  [/^.{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)/s, 'HEIC pictures are not read here: export as JPEG'],
  [/^.{4}ftypcrx/s, CAMERA_RAW],
  [/^.{4}ftyp/s, 'this is a video, not a picture: export a single frame as JPEG or PNG'],
  [/^%PDF/, 'this is a PDF, not a picture: export its pages as JPEG or PNG'],
  [/<svg[\s>]/i, 'SVG drawings are not read here: export as PNG'],
  [/^\s*(?:<\?xml|<!doctype|<html)/i, 'this is a web page or XML, not a picture: check the file'],
  [/^8BPS/, 'Photoshop files are not read here: export as JPEG, PNG or TIFF'],
  [/^BM/, 'BMP pictures are not read here: save as PNG'],
  [/^(?:ÿ\n|.{4}JXL )/s, 'JPEG XL is not read here: export as JPEG'],
  [/^PK\p{Cc}{2}/u, 'this is a ZIP archive or an office document, not a picture: unpack it first'],
];

/** Whether the header claims a picture without pixels; decoders invent some for it, or call it damaged. */
function saysEmpty(format: PictureFormat, head: Buffer): boolean {
  if (format === 'png' && head.length >= 24)
    return head.readUInt32BE(16) === 0 || head.readUInt32BE(20) === 0;
  if (format === 'gif' && head.length >= 10) return head.readUInt16LE(6) === 0 || head.readUInt16LE(8) === 0;
  return false;
}

function isCut(format: PictureFormat, head: Buffer, tail: Buffer, bytes: number): boolean {
  if (format === 'png') return !tail.includes('IEND');
  if (format === 'webp') return head.length < 12 || head.readUInt32LE(4) + 8 > bytes;
  if (format === 'tiff') {
    if (head.length < 8) return true;
    return (head[0] === 0x49 ? head.readUInt32LE(4) : head.readUInt32BE(4)) >= bytes;
  }
  return false;
}
