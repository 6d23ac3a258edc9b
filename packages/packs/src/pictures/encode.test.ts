import { expect, test } from 'vitest';
import { encode, NO_TAGS } from './encode.ts';

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
