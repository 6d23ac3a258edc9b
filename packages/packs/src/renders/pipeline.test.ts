import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
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
  type Rgb,
  temporaryFolder,
  YELLOW,
} from '../testing/pictures.ts';
import { runPipeline } from './pipeline.ts';
import { findPipeline, shippedPipelines } from './pipelines.ts';
import { POSITIONS, type StepInput, stepsSchema } from './steps.ts';

const folder = temporaryFolder();
const PNG: StepInput = { step: 'format', format: 'png' };

async function rendered(input: Buffer | string, steps: StepInput[], repair = false) {
  const path = typeof input === 'string' ? input : folder.write('input', input);
  const output = folder.path('output');
  const facts = await runPipeline(path, () => output, { steps: stepsSchema.parse(steps), repair });
  return { facts, file: await readFile(output) };
}

async function quarters(options?: { width: number; height: number }): Promise<Buffer> {
  return await (await quadrants(options)).png().toBuffer();
}

/** The colours at the four corners: above left, above right, below left, below right. */
async function corners(file: Buffer): Promise<number[][]> {
  const { width, height } = await sharp(file).metadata();
  const [left, right, top, bottom] = [2, width - 3, 2, height - 3];
  return await Promise.all(
    [
      [left, top],
      [right, top],
      [left, bottom],
      [right, bottom],
    ].map(([x = 0, y = 0]) => pixelAt(file, x, y)),
  );
}

describe('resize', () => {
  test.each([
    [{ width: 40, height: 40 }, 40, 30],
    [{ width: 40 }, 40, 30],
    [{ height: 15 }, 20, 15],
    [{ width: 400 }, 80, 60],
    [{ width: 160, enlarge: true }, 160, 120],
    [{ width: 20, height: 20, fit: 'cover' }, 20, 20],
    [{ width: 20, height: 20, fit: 'contain' }, 20, 20],
    [{ width: 10, height: 50, fit: 'fill' }, 10, 50],
  ] as const)('%o makes %i × %i of 80 × 60', async (options, width, height) => {
    const { facts } = await rendered(await quarters(), [{ step: 'resize', ...options }, PNG]);
    expect(facts).toMatchObject({ width, height });
    // As a later step the same comes out.
    const later = await rendered(await quarters(), [{ step: 'adjust' }, { step: 'resize', ...options }, PNG]);
    expect(later.facts).toMatchObject({ width, height });
  });

  test('refuses to make more pixels than it would read', async () => {
    const steps: StepInput[] = [{ step: 'resize', width: 16_000, enlarge: true }, PNG];
    await expect(rendered(await quarters(), steps)).rejects.toMatchObject({ reason: 'does_not_fit' });
    await expect(rendered(await quarters(), [{ step: 'adjust' }, ...steps])).rejects.toMatchObject({
      reason: 'does_not_fit',
    });
  });
});

describe('crop', () => {
  test.each([
    [{ left: 0, top: 0 }, RED],
    [{ left: 40, top: 0 }, GREEN],
    [{ left: 0, top: 30 }, BLUE],
    [{ left: 40, top: 30 }, YELLOW],
  ] as const)('the quarter at %o', async (place, colour) => {
    const { facts, file } = await rendered(await quarters(), [
      { step: 'crop', ...place, width: 40, height: 30 },
      PNG,
    ]);
    expect(facts).toMatchObject({ width: 40, height: 30 });
    expect(await corners(file)).toEqual([colour, colour, colour, colour]);
  });

  test('by percent, wherever the picture is large', async () => {
    const crop: StepInput = { step: 'crop', left: 50, top: 50, width: 50, height: 50, unit: 'percent' };
    for (const size of [
      { width: 80, height: 60 },
      { width: 400, height: 200 },
    ]) {
      const { facts, file } = await rendered(await quarters(size), [crop, PNG]);
      expect(facts).toMatchObject({ width: size.width / 2, height: size.height / 2 });
      expect((await corners(file))[0]).toEqual(YELLOW);
    }
  });

  test('beyond the edge is refused with the sizes', async () => {
    const steps: StepInput[] = [{ step: 'crop', left: 60, width: 40, height: 30 }, PNG];
    await expect(rendered(await quarters(), steps)).rejects.toMatchObject({
      code: 'input_invalid',
      reason: 'does_not_fit',
      message: expect.stringContaining('80 × 60'),
    });
  });
});

describe('rotate', () => {
  test.each([
    [90, [BLUE, RED, YELLOW, GREEN], 60, 80],
    [180, [YELLOW, BLUE, GREEN, RED], 80, 60],
    [-90, [GREEN, YELLOW, RED, BLUE], 60, 80],
  ] as [number, Rgb[], number, number][])('%i degrees', async (degrees, colours, width, height) => {
    const { facts, file } = await rendered(await quarters(), [{ step: 'rotate', degrees }, PNG]);
    expect(facts).toMatchObject({ width, height });
    expect(await corners(file)).toEqual(colours);
  });

  test('other angles fill the corners', async () => {
    const steps: StepInput[] = [{ step: 'rotate', degrees: 45, background: '#102030' }, PNG];
    const { file } = await rendered(await quarters(), steps);
    expect(await corners(file)).toEqual(Array.from({ length: 4 }, () => [0x10, 0x20, 0x30]));
  });

  test('steps work in their order', async () => {
    const crop: StepInput = { step: 'crop', width: 20, height: 20 };
    const turn: StepInput = { step: 'rotate', degrees: 90 };
    const first = await rendered(await quarters(), [crop, turn, PNG]);
    const last = await rendered(await quarters(), [turn, crop, PNG]);
    expect((await corners(first.file))[0]).toEqual(RED);
    expect((await corners(last.file))[0]).toEqual(BLUE);
  });
});

describe('watermark', () => {
  const ground = async () => await plain([120, 120, 120], { width: 300, height: 200 }).png().toBuffer();
  const mark = (options: Partial<Extract<StepInput, { step: 'watermark' }>> = {}): StepInput[] => [
    { step: 'watermark', text: 'Studio', ...options },
    PNG,
  ];

  test.each(POSITIONS)('at %s changes that part and nothing else', async (position) => {
    const { file } = await rendered(await ground(), mark({ position }));
    const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    const seen = { left: 300, right: -1, top: 200, bottom: -1 };
    for (let at = 0; at < data.length; at += info.channels) {
      if (data[at] === 120) continue;
      const [x, y] = [(at / info.channels) % 300, Math.floor(at / info.channels / 300)];
      seen.left = Math.min(seen.left, x);
      seen.right = Math.max(seen.right, x);
      seen.top = Math.min(seen.top, y);
      seen.bottom = Math.max(seen.bottom, y);
    }
    expect(seen.right).toBeGreaterThan(seen.left);
    const [across, down] = [(seen.left + seen.right) / 2, (seen.top + seen.bottom) / 2];
    const words = position.split('-');
    expect(across < 100 ? 'left' : across > 200 ? 'right' : 'middle').toBe(
      words.find((word) => word === 'left' || word === 'right') ?? 'middle',
    );
    expect(down < 66 ? 'top' : down > 133 ? 'bottom' : 'middle').toBe(
      words.find((word) => word === 'top' || word === 'bottom') ?? 'middle',
    );
    expect(info.channels).toBe(3);
  });

  test('opacity 0 leaves no trace', async () => {
    const { file } = await rendered(await ground(), mark({ opacity: 0 }));
    expect(difference(await pixelsOf(file), await pixelsOf(await ground()))).toBe(0);
  });

  test('markup in the text is text', async () => {
    const { file: escaped } = await rendered(
      await ground(),
      mark({ text: '<span size="90000">&lt;', size: 8 }),
    );
    const { file: words } = await rendered(await ground(), mark({ text: 'Smith & Sons <b>', size: 8 }));
    expect(difference(await pixelsOf(escaped), await pixelsOf(words))).toBeGreaterThan(10);
    // Letters of 90,000 would fill the picture.
    const corner = await sharp(escaped)
      .extract({ left: 0, top: 0, width: 300, height: 100 })
      .png()
      .toBuffer();
    expect(await brightness(corner)).toBeCloseTo(120, 0);
  });

  test('a text that is too long is made to fit', async () => {
    const { facts } = await rendered(await ground(), mark({ text: 'W'.repeat(200), size: 50 }));
    expect(facts).toMatchObject({ width: 300, height: 200 });
  });

  test('keeps the transparency of the picture', async () => {
    const clear = await plain([0, 0, 0], { width: 300, height: 200 }).ensureAlpha(0).png().toBuffer();
    const { file } = await rendered(clear, mark());
    expect(await pixelAt(file, 5, 5)).toEqual([0, 0, 0, 0]);
  });
});

describe('composite', () => {
  const ground = async () => await plain([120, 120, 120], { width: 100, height: 100 }).png().toBuffer();
  const logo = async () => (await plain(RED, { width: 10, height: 10 }).png().toBuffer()).toString('base64');

  test('puts an image at its place, scaled, with its opacity', async () => {
    const step = {
      step: 'composite',
      image: await logo(),
      width: 20,
      position: 'top-left',
      margin: 0,
    } as const;
    const { file } = await rendered(await ground(), [{ ...step, opacity: 100 }, PNG]);
    expect(await pixelAt(file, 10, 10)).toEqual(RED);
    expect(await pixelAt(file, 25, 10)).toEqual([120, 120, 120]);
    const { file: half } = await rendered(await ground(), [{ ...step, opacity: 50 }, PNG]);
    expect(difference(Buffer.from(await pixelAt(half, 10, 10)), Buffer.from([160, 75, 75]))).toBeLessThan(2);
  });

  test('an image as large as the picture is scaled to the room between the margins', async () => {
    const image = (await plain(RED, { width: 500, height: 500 }).png().toBuffer()).toString('base64');
    const step = {
      step: 'composite',
      image,
      width: 100,
      position: 'center',
      margin: 10,
      opacity: 100,
    } as const;
    const { file } = await rendered(await ground(), [step, PNG]);
    expect(await pixelAt(file, 5, 50)).toEqual([120, 120, 120]);
    expect(await pixelAt(file, 12, 50)).toEqual(RED);
  });

  test('drawings are refused', async () => {
    const image = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>').toString(
      'base64',
    );
    await expect(rendered(await ground(), [{ step: 'composite', image }, PNG])).rejects.toMatchObject({
      reason: 'unsupported_format',
      message: expect.stringMatching(/^the image of the composite step: SVG/),
    });
  });
});

describe('adjust and format', () => {
  test('adjust changes light and colour', async () => {
    const grey = await plain([100, 100, 100]).png().toBuffer();
    const { file } = await rendered(grey, [{ step: 'adjust', exposure: 1 }, PNG]);
    expect(await pixelAt(file, 40, 30)).toEqual([138, 138, 138]);
  });

  test('without a format step a picture keeps its own, or what comes near it', async () => {
    const steps: StepInput[] = [{ step: 'resize', width: 20 }];
    for (const [from, to] of [
      ['png', 'png'],
      ['webp', 'webp'],
      ['jpeg', 'jpeg'],
      ['tiff', 'jpeg'],
      ['gif', 'png'],
    ] as const) {
      const { facts } = await rendered(await plain(RED).toFormat(from).toBuffer(), steps);
      expect(facts.format).toBe(to);
    }
  });

  test('EXIF goes into the output only when asked for', async () => {
    const photo = SAMPLE_PHOTOS[0]?.path ?? '';
    const { file: without } = await rendered(photo, [{ step: 'format', format: 'webp' }]);
    const { file: with_ } = await rendered(photo, [{ step: 'format', format: 'webp', keep_exif: true }]);
    expect((await sharp(without).metadata()).exif).toBeUndefined();
    expect((await sharp(with_).metadata()).exif?.toString('latin1')).toContain('Aitzol Berasategi');
  });
});

describe('schema', () => {
  test.each([
    ['an unknown step', [{ step: 'explode' }]],
    ['no step', []],
    ['a resize without size', [{ step: 'resize' }]],
    [
      'a format that is not last',
      [
        { step: 'format', format: 'png' },
        { step: 'resize', width: 20 },
      ],
    ],
    ['an unknown setting', [{ step: 'resize', width: 20, height_: 20 }]],
    ['a colour by name', [{ step: 'rotate', degrees: 9, background: 'url(file:///etc/passwd)' }]],
    ['control characters in a text', [{ step: 'watermark', text: 'a\0b' }]],
    ['half a character in a text', [{ step: 'watermark', text: '\ud800' }]],
    ['too many steps', Array.from({ length: 21 }, () => ({ step: 'adjust' }))],
  ])('refuses %s', (_what, steps) => {
    expect(stepsSchema.safeParse(steps).success).toBe(false);
  });
});

describe('pipelines that ship', () => {
  test('are found by number and by name', () => {
    for (const { id, name } of shippedPipelines()) {
      expect(findPipeline(id)).toEqual(findPipeline(name));
    }
    expect(findPipeline(99)).toBeUndefined();
  });

  test('number 1 makes a JPEG of at most 2400 pixels', async () => {
    const large = await plain(RED, { width: 3000, height: 1000 }).jpeg().toBuffer();
    const { facts } = await rendered(large, findPipeline(1)?.steps ?? []);
    expect(facts).toMatchObject({ format: 'jpeg', width: 2400, height: 800 });
  });

  test('thumbnails makes a small WebP of each sample photo', async () => {
    for (const { path } of SAMPLE_PHOTOS) {
      const { facts } = await rendered(path, findPipeline('thumbnails')?.steps ?? []);
      expect(facts.format).toBe('webp');
      expect(Math.max(facts.width, facts.height)).toBe(320);
      expect(facts.output_bytes).toBeLessThan(40_000);
    }
  });

  test('a photo that ends early fails, and works with repair', async () => {
    const steps = findPipeline('thumbnails')?.steps ?? [];
    await expect(rendered(TRUNCATED_PHOTO.path, steps)).rejects.toMatchObject({ reason: 'truncated' });
    expect((await rendered(TRUNCATED_PHOTO.path, steps, true)).facts).toMatchObject({
      width: 320,
      height: 213,
    });
  });
});
