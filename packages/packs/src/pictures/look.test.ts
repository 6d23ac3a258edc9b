import { expect, test } from 'vitest';
import { applyLook, lookSchema, toneCurves } from './look.ts';
import type { Pixels } from './pixels.ts';

const neutral = lookSchema.parse({});

function onePixel(colour: number[]): Pixels {
  return { data: Buffer.from(colour), width: 1, height: 1, channels: colour.length === 4 ? 4 : 3 };
}

async function seen(
  colour: number[],
  look: Partial<typeof neutral>,
): Promise<[number, number, number, number]> {
  const pixels = onePixel(colour);
  await applyLook(pixels, { ...neutral, ...look });
  const [r = 0, g = 0, b = 0, alpha = 255] = pixels.data;
  return [r, g, b, alpha];
}

test('a neutral look changes no colour', async () => {
  for (let byte = 0; byte < 256; byte += 1) {
    expect(await seen([byte, 255 - byte, 128], {})).toEqual([byte, 255 - byte, 128, 255]);
  }
});

test('exposure moves mid grey by stops of light, up and down', async () => {
  const [up] = await seen([100, 100, 100], { exposure: 1 });
  const [down] = await seen([100, 100, 100], { exposure: -1 });
  // 100 is 0.127 of the light; twice and half of it are 138 and 71.
  expect(up).toBe(138);
  expect(down).toBe(71);
});

test('exposure keeps white white and bright shades apart', async () => {
  const shades = await Promise.all(
    [200, 225, 250, 255].map((byte) => seen([byte, byte, byte], { exposure: 1 })),
  );
  const [a = 0, b = 0, c = 0, d = 0] = shades.map(([red]) => red);
  expect(d).toBe(255);
  expect(a).toBeLessThan(b);
  expect(b).toBeLessThan(c);
});

test('contrast pulls dark and bright apart and leaves the middle', async () => {
  const [dark] = await seen([64, 64, 64], { contrast: 50 });
  const [bright] = await seen([192, 192, 192], { contrast: 50 });
  expect(dark).toBeLessThan(55);
  expect(bright).toBeGreaterThan(200);
  expect((await seen([128, 128, 128], { contrast: 50 }))[0]).toBeCloseTo(128, -0.5);
});

test('saturation -100 and black and white leave grey of the same brightness', async () => {
  const grey = Math.round(0.2126 * 200 + 0.7152 * 100 + 0.0722 * 50);
  expect(await seen([200, 100, 50], { saturation: -100 })).toEqual([grey, grey, grey, 255]);
  expect(await seen([200, 100, 50], { black_and_white: true })).toEqual([grey, grey, grey, 255]);
});

test('temperature warms, tint goes to magenta, and grey keeps its brightness', async () => {
  const [warmRed, , warmBlue] = await seen([128, 128, 128], { temperature: 60 });
  expect(warmRed).toBeGreaterThan(132);
  expect(warmBlue).toBeLessThan(122);
  const [red, green, blue] = await seen([128, 128, 128], { tint: 60 });
  expect(green).toBeLessThan(Math.min(red, blue));
  expect(0.2126 * red + 0.7152 * green + 0.0722 * blue).toBeCloseTo(128, -0.7);
});

test('shadows open the dark and highlights pull back the bright', async () => {
  expect((await seen([50, 50, 50], { shadows: 60 }))[0]).toBeGreaterThan(65);
  expect((await seen([230, 230, 230], { shadows: 60 }))[0]).toBeLessThan(233);
  expect((await seen([205, 205, 205], { highlights: -60 }))[0]).toBeLessThan(190);
  expect((await seen([25, 25, 25], { highlights: -60 }))[0]).toBeGreaterThan(22);
});

test('every curve rises, at any mix of settings', () => {
  const ends = [-100, 0, 100];
  for (const exposure of [-4, 0, 4]) {
    for (const shadows of ends) {
      for (const highlights of ends) {
        for (const contrast of ends) {
          const [curve] = toneCurves({ ...neutral, exposure, shadows, highlights, contrast });
          for (let byte = 1; byte < 256; byte += 1) {
            expect(curve[byte] ?? 0).toBeGreaterThanOrEqual((curve[byte - 1] ?? 0) - 0.001);
          }
        }
      }
    }
  }
});

test('opacity stays', async () => {
  expect((await seen([200, 100, 50, 77], { exposure: 1, saturation: 40 }))[3]).toBe(77);
});

test('stops when told to', async () => {
  const aborted = AbortSignal.abort(new Error('cancelled'));
  await expect(applyLook(onePixel([1, 2, 3]), neutral, aborted)).rejects.toThrow('cancelled');
});

test('refuses settings out of range and unknown ones', () => {
  expect(() => lookSchema.parse({ exposure: 9 })).toThrow();
  expect(() => lookSchema.parse({ vibrance: 10 })).toThrow();
});
