import { expect, test } from 'vitest';
import { outputName } from './output-name.ts';

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
