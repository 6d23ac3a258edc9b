import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { lookSchema } from '../pictures/look.ts';
import { SAMPLE_PHOTOS, TRUNCATED_PHOTO } from '../samples.ts';
import {
  BLUE,
  brightness,
  difference,
  GREEN,
  pixelAt,
  pixelsOf,
  plain,
  quadrants,
  RED,
  ramp,
  temporaryFolder,
  YELLOW,
} from '../testing/pictures.ts';
import { type DevelopOptions, develop } from './develop.ts';
import { PRESET_NAMES } from './presets.ts';

const folder = temporaryFolder();
const standard: DevelopOptions = {
  preset: 'WhiteLayer_v4',
  blend: 100,
  format: 'jpeg',
  quality: 85,
  repair: false,
};

async function developed(input: Buffer | string, options: Partial<DevelopOptions> = {}) {
  const path = typeof input === 'string' ? input : folder.write('input', input);
  const output = folder.path('output');
  const facts = await develop(path, output, { ...standard, ...options });
  return { facts, file: await readFile(output) };
}

const nuthatch = SAMPLE_PHOTOS.find(({ name }) => name === 'nuthatch.jpg')?.path ?? '';

describe('looks', () => {
  test('exposure brightens, less exposure darkens', async () => {
    const before = await brightness(nuthatch);
    const look = (exposure: number) => lookSchema.parse({ exposure });
    const { file: brighter } = await developed(nuthatch, { preset: look(0.7) });
    const { file: darker } = await developed(nuthatch, { preset: look(-0.7) });
    expect(await brightness(brighter)).toBeGreaterThan(before + 15);
    expect(await brightness(darker)).toBeLessThan(before - 15);
  });

  test('WhiteLayer_v4 is brighter and less colourful than what it was given', async () => {
    const { file } = await developed(await plain([180, 70, 60]).png().toBuffer(), { format: 'png' });
    const [red = 0, green = 0, blue = 0] = await pixelAt(file, 40, 30);
    expect(red).toBeGreaterThan(180);
    expect(green).toBeGreaterThan(70);
    expect((Math.max(red, green, blue) - Math.min(red, green, blue)) / red).toBeLessThan(0.6);
  });

  test.each(PRESET_NAMES)('%s develops a photo to the same size', async (preset) => {
    const { facts } = await developed(nuthatch, { preset });
    expect(facts).toMatchObject({ width: 1500, height: 844, pixels: 1500 * 844, frames: 1 });
    expect(facts.input_bytes).toBe((await readFile(nuthatch)).length);
    expect(facts.output_bytes).toBeGreaterThan(50_000);
  });

  test('sharpening makes edges steeper and leaves even ground alone', async () => {
    const edge = await quadrants();
    const preset = lookSchema.parse({ sharpen: 60 });
    const { file } = await developed(await edge.png().toBuffer(), { preset, format: 'png' });
    expect(await pixelAt(file, 5, 5)).toEqual(RED);
    const [red = 0, green = 0] = await pixelAt(file, 39, 5);
    expect(red).toBeGreaterThan(RED[0]);
    expect(green).toBeLessThan(RED[1]);
  });
});

describe('blend', () => {
  const preset = lookSchema.parse({ exposure: 0.8, contrast: 20, saturation: 30, sharpen: 30 });
  const blendOf = async (blend: number, input: Buffer) =>
    await pixelsOf((await developed(input, { blend, preset, format: 'png' })).file);

  test('0 gives the pixels of the original, 100 those of the preset', async () => {
    const original = await sharp(nuthatch).resize(300).png().toBuffer();
    expect(difference(await blendOf(0, original), await pixelsOf(original))).toBe(0);
    expect(difference(await blendOf(100, original), await pixelsOf(original))).toBeGreaterThan(30);
  });

  test.each([25, 50, 60, 75])('%i lies on the straight line between them, at every pixel', async (blend) => {
    const original = await sharp(nuthatch).resize(300).png().toBuffer();
    const [none, some, all] = [
      await blendOf(0, original),
      await blendOf(blend, original),
      await blendOf(100, original),
    ];
    const expected = Buffer.from(
      none.map((byte, at) => Math.round(byte + (((all[at] ?? 0) - byte) * blend) / 100)),
    );
    expect(difference(some, expected)).toBeLessThanOrEqual(1);
  });

  test('0 as JPEG is the original encoded again, within the noise of JPEG', async () => {
    const { file } = await developed(nuthatch, { blend: 0, quality: 95 });
    const before = await pixelsOf(nuthatch);
    const after = await pixelsOf(file);
    const sum = before.reduce((total, byte, at) => total + Math.abs(byte - (after[at] ?? 0)), 0);
    expect(sum / before.length).toBeLessThan(1.5);
  });
});

describe('tags and orientation', () => {
  const tags = { IFD0: { Artist: 'Ada', Make: 'Kamera' }, IFD2: { ExposureTime: '1/250' } };

  test.each(['jpeg', 'webp', 'png'] as const)('keeps EXIF in %s', async (format) => {
    const input = await ramp().withExif(tags).jpeg().toBuffer();
    const { file } = await developed(input, { format });
    const { exif, format: written, width } = await sharp(file, { failOn: 'warning' }).metadata();
    expect(written).toBe(format);
    expect(width).toBe(256);
    expect(exif?.toString('latin1')).toContain('Ada');
    expect(exif?.toString('latin1')).toContain('Kamera');
  });

  test('keeps EXIF in WebP with transparency', async () => {
    const input = await ramp().ensureAlpha(0.5).withExif(tags).png().toBuffer();
    const { file } = await developed(input, { format: 'webp' });
    const { exif, hasAlpha } = await sharp(file).metadata();
    expect(hasAlpha).toBe(true);
    expect(exif?.toString('latin1')).toContain('Kamera');
  });

  test('keeps the EXIF and the author of a sample photo', async () => {
    const { file } = await developed(nuthatch);
    expect((await sharp(file).metadata()).exif?.toString('latin1')).toContain('Lukas Baubkus');
  });

  test('keeps XMP', async () => {
    const xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><keywords>harbour</keywords></x:xmpmeta>';
    const { file } = await developed(await ramp().withXmp(xmp).jpeg().toBuffer());
    expect((await sharp(file).metadata()).xmpAsString).toContain('harbour');
  });

  test.each(['jpeg', 'webp', 'png'] as const)(
    'turns the pixels upright and says so in the EXIF of %s',
    async (format) => {
      const input = await (await quadrants())
        .jpeg({ quality: 100 })
        .withExif(tags)
        .withMetadata({ orientation: 6 })
        .toBuffer();
      expect((await sharp(input).metadata()).orientation).toBe(6);
      const { facts, file } = await developed(input, { format, blend: 0, quality: 95 });
      expect(facts).toMatchObject({ width: 60, height: 80 });
      expect((await sharp(file).metadata()).orientation).toBe(1);
      // A quarter to the right: what was below on the left is now above on the left.
      const corners = [
        [10, 10],
        [50, 10],
        [10, 70],
        [50, 70],
      ] as const;
      const colours = await Promise.all(corners.map(([x, y]) => pixelAt(file, x, y)));
      [BLUE, RED, YELLOW, GREEN].forEach((colour, at) => {
        expect(difference(Buffer.from(colours[at] ?? []), Buffer.from(colour))).toBeLessThan(14);
      });
    },
  );

  test('applies an embedded profile', async () => {
    const input = await plain([200, 60, 40]).withIccProfile('p3').jpeg({ quality: 100 }).toBuffer();
    const { file } = await developed(input, { blend: 0, format: 'png' });
    const shown = await pixelAt(file, 40, 30);
    expect(difference(Buffer.from(shown), Buffer.from([200, 60, 40]))).toBeLessThan(6);
  });
});

describe('sizes and formats', () => {
  test('width scales down and never up', async () => {
    expect((await developed(nuthatch, { width: 600 })).facts).toMatchObject({ width: 600, height: 338 });
    expect((await developed(nuthatch, { width: 9000 })).facts).toMatchObject({ width: 1500, height: 844 });
  });

  test('transparency goes on white in JPEG and stays in PNG', async () => {
    const input = await plain([0, 0, 0]).ensureAlpha(0).png().toBuffer();
    const { file: jpeg } = await developed(input, { blend: 0 });
    expect(await pixelAt(jpeg, 40, 30)).toEqual([255, 255, 255]);
    const { file: png } = await developed(input, { format: 'png' });
    expect((await pixelAt(png, 40, 30))[3]).toBe(0);
  });

  test('sharpening leaves the opacity of even parts alone', async () => {
    const input = await plain([90, 90, 90]).ensureAlpha(0.5).png().toBuffer();
    const { file } = await developed(input, { format: 'png' });
    expect((await pixelAt(file, 40, 30))[3]).toBe(127);
  });

  test('CMYK, 16 bits, grey and palettes become the colours they show', async () => {
    const inputs = {
      cmyk: await plain([200, 100, 50]).toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer(),
      deep: await plain([200, 100, 50]).toColourspace('rgb16').png().toBuffer(),
      palette: await plain([200, 100, 50]).png({ palette: true }).toBuffer(),
    };
    for (const [kind, input] of Object.entries(inputs)) {
      const { file } = await developed(input, { blend: 0, format: 'png' });
      const shown = Buffer.from(await pixelAt(file, 40, 30));
      // There is no exact way from inks to light.
      expect(difference(shown, Buffer.from([200, 100, 50])), kind).toBeLessThan(kind === 'cmyk' ? 35 : 2);
    }
    const grey = await plain([90, 90, 90]).toColourspace('b-w').png().toBuffer();
    const { file } = await developed(grey, { blend: 0, format: 'png' });
    expect(await pixelAt(file, 40, 30)).toEqual([90, 90, 90]);
  });

  test('uses the first picture of an animation and says how many there are', async () => {
    const frames = [await plain(RED).png().toBuffer(), await plain(GREEN).png().toBuffer()];
    const input = await sharp(frames, { join: { animated: true } })
      .gif()
      .toBuffer();
    const { facts, file } = await developed(input, { blend: 0, format: 'png' });
    expect(facts).toMatchObject({ frames: 2, width: 80, height: 60 });
    expect((await pixelAt(file, 40, 30)).slice(0, 3)).toEqual(RED);
  });
});

describe('broken photos', () => {
  test('a photo that ends early is refused with a way out, and repair takes what is there', async () => {
    await expect(developed(TRUNCATED_PHOTO.path)).rejects.toMatchObject({
      code: 'input_invalid',
      permanent: true,
      reason: 'truncated',
      message: expect.stringContaining('retry with repair: true'),
    });
    const { facts, file } = await developed(TRUNCATED_PHOTO.path, {
      repair: true,
      preset: lookSchema.parse({}),
    });
    expect(facts).toMatchObject({ width: 1500, height: 1000 });
    const [bottom = [], again = []] = [await pixelAt(file, 200, 995), await pixelAt(file, 1300, 995)];
    expect(difference(Buffer.from(bottom), Buffer.from(again))).toBeLessThan(4);
    expect(
      await brightness(await sharp(file).extract({ left: 0, top: 0, width: 1500, height: 500 }).toBuffer()),
    ).toBeGreaterThan(40);
  });

  test('an aborted photo leaves no output', async () => {
    const signal = AbortSignal.abort(new Error('cancelled'));
    const output = folder.path('never');
    await expect(develop(nuthatch, output, { ...standard, signal })).rejects.toThrow('cancelled');
    await expect(readFile(output)).rejects.toThrow('ENOENT');
  });

  test('reports its steps in order', async () => {
    const steps: string[] = [];
    await developed(nuthatch, { width: 100, progress: (step, percent) => steps.push(`${step} ${percent}`) });
    expect(steps).toEqual(['read 0', 'develop 30', 'write 70', 'write 100']);
  });
});
