import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { afterAll } from 'vitest';

export type Rgb = [number, number, number];

export const RED: Rgb = [200, 30, 30];
export const GREEN: Rgb = [30, 160, 40];
export const BLUE: Rgb = [30, 40, 190];
export const YELLOW: Rgb = [220, 210, 40];

/** A folder for the files of the tests of one file; it is gone after them. */
export function temporaryFolder(): {
  path(name: string): string;
  write(name: string, bytes: Buffer): string;
} {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-pictures-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  return {
    path,
    write(name, bytes) {
      writeFileSync(path(name), bytes);
      return path(name);
    },
  };
}

/** A picture of one colour. */
export function plain([r, g, b]: Rgb, { width = 80, height = 60 } = {}): Sharp {
  return sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
}

/** A picture of four colours: red and green above, blue and yellow below. */
export async function quadrants({ width = 80, height = 60 } = {}): Promise<Sharp> {
  const size = { width: width / 2, height: height / 2 };
  const parts = await Promise.all(
    [RED, GREEN, BLUE, YELLOW].map(async (colour, index) => ({
      input: await plain(colour, size).png().toBuffer(),
      left: (index % 2) * size.width,
      top: Math.floor(index / 2) * size.height,
    })),
  );
  return sharp(await plain([0, 0, 0], { width, height }).composite(parts).removeAlpha().png().toBuffer());
}

/** A grey ramp from black on the left to white on the right. */
export function ramp({ width = 256, height = 32 } = {}): Sharp {
  const data = Buffer.alloc(width * height * 3);
  for (let at = 0; at < data.length; at += 1)
    data[at] = Math.round(((Math.floor(at / 3) % width) * 255) / (width - 1));
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** The red, green and blue of a pixel. */
export async function pixelAt(picture: string | Buffer, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
  const at = (y * info.width + x) * info.channels;
  return [...data.subarray(at, at + info.channels)];
}

/** The bytes of all pixels. */
export async function pixelsOf(picture: string | Buffer): Promise<Buffer> {
  return await sharp(picture).raw().toBuffer();
}

/** How bright a picture is on the whole, 0–255. */
export async function brightness(picture: string | Buffer): Promise<number> {
  const { channels } = await sharp(picture).stats();
  const [red = 0, green = 0, blue = 0] = channels.map(({ mean }) => mean);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The greatest difference of two pictures of one size, over all bytes. */
export function difference(left: Buffer, right: Buffer): number {
  let most = left.length === right.length ? 0 : 255;
  for (let at = 0; at < left.length; at += 1)
    most = Math.max(most, Math.abs((left[at] ?? 0) - (right[at] ?? 0)));
  return most;
}

/** A PNG whose header claims a size, over pixels for one row only. */
export function pngClaiming(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.writeUInt8(8, 8);
  header.writeUInt8(2, 9);
  const row = deflateSync(Buffer.alloc(width * 3 + 1));
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', row),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A JPEG whose header claims another size than it has. */
export function jpegClaiming(jpeg: Buffer, width: number, height: number): Buffer {
  const copy = Buffer.from(jpeg);
  for (let at = 2; at < copy.length; at += 2 + copy.readUInt16BE(at + 2)) {
    const marker = copy[at + 1] ?? 0;
    if (marker < 0xc0 || marker > 0xc2) continue;
    copy.writeUInt16BE(height, at + 5);
    copy.writeUInt16BE(width, at + 7);
    return copy;
  }
  throw new Error('no frame header found');
}

function pngChunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
