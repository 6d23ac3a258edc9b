import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { SAMPLE_PHOTOS } from '../samples.ts';
import { jpegClaiming, plain, pngClaiming, RED, temporaryFolder } from '../testing/pictures.ts';
import { decode } from './pixels.ts';
import { openPicture } from './source.ts';

const folder = temporaryFolder();
const photo = await readFile(SAMPLE_PHOTOS[0]?.path ?? '');

async function read(bytes: Buffer, options: { repair?: boolean; name?: string } = {}) {
  return await decode(await openPicture(folder.write('input', bytes), options));
}

async function refusal(bytes: Buffer, options: { repair?: boolean; name?: string } = {}) {
  const error: unknown = await read(bytes, options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: 'ImageError', code: 'input_invalid', permanent: true });
  const { reason, message } = error as { reason: string; message: string };
  expect(message).not.toContain(folder.path(''));
  return { reason, message };
}

describe('what is no picture', () => {
  test('an empty file', async () => {
    expect(await refusal(Buffer.alloc(0))).toMatchObject({ reason: 'empty_file' });
  });

  test.each([
    ['text', 'just some words', 'check the file'],
    [
      'SVG',
      '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
      'export as PNG',
    ],
    ['bare SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 'export as PNG'],
    ['a web page', '<!doctype html><title>404</title>', 'web page'],
    ['PDF', '%PDF-1.7\n', 'PDF'],
    ['ZIP', 'PK\x03\x04\x14\0', 'ZIP'],
    ['HEIC', '\0\0\0\x18ftypheic\0\0\0\0heicmif1', 'HEIC'],
    ['video', '\0\0\0\x18ftypisom\0\0\0\0isommp42', 'video'],
    ['BMP', 'BM\x36\0\0\0', 'BMP'],
    ['Canon raw', 'II*\0\x10\0\0\0CR\x02\0', 'camera raw'],
    ['Panasonic raw', 'IIU\0\x08\0\0\0', 'camera raw'],
  ])('%s', async (_kind, text, words) => {
    const { reason, message } = await refusal(Buffer.from(text, 'latin1'));
    expect(reason).toBe('unsupported_format');
    expect(message).toContain(words);
  });

  test('a raw file that looks like TIFF is known by its name', async () => {
    const tiff = await plain(RED).tiff().toBuffer();
    expect((await refusal(tiff, { name: 'DSC_0001.NEF' })).message).toContain('camera raw');
    expect((await read(tiff, { name: 'scan.tif' })).width).toBe(80);
  });

  test('a file that is gone is not the fault of the picture', async () => {
    await expect(openPicture(folder.path('gone'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('pictures under a wrong name', () => {
  test.each(['png', 'webp', 'gif', 'tiff', 'avif'] as const)(
    '%s named .jpg is read by its content',
    async (format) => {
      const bytes = await plain(RED).toFormat(format).toBuffer();
      const path = folder.write('holiday.jpg', bytes);
      const source = await openPicture(path, { name: 'holiday.jpg' });
      expect(source).toMatchObject({ format, width: 80, height: 60 });
      expect((await decode(source)).data.length).toBeGreaterThan(0);
    },
  );
});

describe('sizes', () => {
  test.each([
    ['PNG', pngClaiming(60_000, 60_000)],
    ['JPEG', jpegClaiming(photo, 60_000, 60_000)],
  ])('a small %s that claims 3,600 megapixels is refused by its header', async (_kind, bytes) => {
    const started = performance.now();
    const { reason, message } = await refusal(bytes);
    expect(reason).toBe('too_many_pixels');
    expect(message).toContain('60000 × 60000');
    expect(message).toContain('3,600 megapixels');
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('repair opens no way around the limit', async () => {
    const { reason } = await refusal(pngClaiming(60_000, 60_000), { repair: true });
    expect(reason).toBe('too_many_pixels');
  });

  test.each([
    ['PNG', pngClaiming(0, 10)],
    ['JPEG', jpegClaiming(photo, 0, 0)],
    ['GIF', Buffer.from('GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff;', 'latin1')],
  ])('a %s without pixels', async (_kind, bytes) => {
    expect((await refusal(bytes)).reason).toBe('empty_picture');
  });
});

describe('broken files', () => {
  const cut = (bytes: Buffer) => bytes.subarray(0, Math.floor(bytes.length * 0.6));

  test.each(['jpeg', 'png', 'gif'] as const)('a %s that ends early, and its repair', async (format) => {
    const bytes = cut(await sharp(photo).resize(300).toFormat(format).toBuffer());
    const { reason, message } = await refusal(bytes);
    expect(reason).toBe('truncated');
    expect(message).toContain('repair: true');
    expect((await read(bytes, { repair: true })).width).toBe(300);
  });

  test.each(['webp', 'avif'] as const)(
    'a %s that ends early cannot be repaired, and nobody says it could',
    async (format) => {
      const bytes = cut(await sharp(photo).resize(300).toFormat(format).toBuffer());
      const { reason, message } = await refusal(bytes);
      expect(reason).toBe('truncated');
      expect(message).not.toContain('repair');
    },
  );

  test('a cut TIFF', async () => {
    const bytes = cut(await sharp(photo).resize(300).tiff({ compression: 'none' }).toBuffer());
    expect((await refusal(bytes)).reason).toBe('truncated');
  });

  test('only the header of a JPEG is too little even for repair', async () => {
    const { reason, message } = await refusal(photo.subarray(0, 200), { repair: true });
    expect(reason).toBe('truncated');
    expect(message).toContain('even repair could not read it');
  });

  test('a PNG with flipped bytes is damaged, not truncated', async () => {
    const bytes = await sharp(photo).resize(300).png().toBuffer();
    bytes.fill(0xaa, 20_000, 20_100);
    expect((await refusal(bytes)).reason).toBe('damaged');
  });

  test('damaged EXIF does not stop a photo', async () => {
    const jpeg = await plain(RED)
      .withExif({ IFD0: { Artist: 'Ada' } })
      .jpeg()
      .toBuffer();
    const at = jpeg.indexOf('Exif\0\0', 0, 'latin1');
    jpeg.fill(0xff, at + 10, at + 30);
    expect((await read(jpeg)).width).toBe(80);
  });
});
