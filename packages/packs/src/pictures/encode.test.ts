import { expect, test } from 'vitest';
import { encode, NO_TAGS, outputName } from './encode.ts';

test.each([
  ['nuthatch.jpg', 'jpeg', 'nuthatch.jpg'],
  ['PL_DXB_view.v2.png', 'webp', 'PL_DXB_view.v2.webp'],
  ['scans/1998/eiger', 'png', 'eiger.png'],
  ['C:\\photos\\eiger.TIF', 'jpeg', 'eiger.jpg'],
  ['.jpg', 'jpeg', '.jpg.jpg'],
  ['', 'jpeg', 'picture.jpg'],
  ['folder/', 'jpeg', 'picture.jpg'],
] as const)('the output of "%s" as %s is "%s"', (name, format, expected) => {
  expect(outputName(name, format)).toBe(expected);
});

test('long names are cut to what file systems take', () => {
  const name = outputName(`${'🐦'.repeat(120)}.jpg`, 'jpeg');
  expect(Buffer.byteLength(name)).toBeLessThan(210);
  expect(name.isWellFormed()).toBe(true);
});

test('says when a format cannot hold a picture that long', async () => {
  const pixels = { data: Buffer.alloc(16_400 * 3), width: 16_400, height: 1, channels: 3 } as const;
  const options = { quality: 80, tags: NO_TAGS };
  await expect(encode(pixels, { ...options, format: 'webp' })).rejects.toMatchObject({
    code: 'input_invalid',
    reason: 'does_not_fit',
    message: expect.stringContaining('16383'),
  });
  expect((await encode(pixels, { ...options, format: 'png' })).length).toBeGreaterThan(0);
});

test('EXIF that is too long for a JPEG is left out, and the picture is whole', async () => {
  const pixels = { data: Buffer.alloc(3), width: 1, height: 1, channels: 3 } as const;
  const exif = Buffer.concat([Buffer.from('II*\0\x08\0\0\0', 'latin1'), Buffer.alloc(70_000)]);
  const file = await encode(pixels, { format: 'jpeg', quality: 80, tags: { exif, xmp: null } });
  expect(file.length).toBeLessThan(2000);
});
