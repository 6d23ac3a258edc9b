import { expect, test } from 'vitest';
import { exifFor, tiffOf } from './exif.ts';

type Value = { tag: number; type: 3 | 4; value: number };

const NEXT = 0xaabbccdd;

/** EXIF with an orientation and a size, and a second directory that describes a preview. */
function tiff(little: boolean, size: Value[]): Buffer {
  const bytes = Buffer.alloc(200);
  bytes.write(little ? 'II' : 'MM', 'latin1');
  const short = (value: number, at: number) =>
    little ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at);
  const long = (value: number, at: number) =>
    little ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
  const directory = (values: Value[], at: number) => {
    short(values.length, at);
    values.forEach(({ tag, type, value }, index) => {
      const entry = at + 2 + index * 12;
      short(tag, entry);
      short(type, entry + 2);
      long(1, entry + 4);
      if (type === 3) short(value, entry + 8);
      else long(value, entry + 8);
    });
    long(NEXT, at + 2 + values.length * 12);
  };
  short(42, 2);
  long(8, 4);
  directory(
    [
      { tag: 0x0112, type: 3, value: 8 },
      { tag: 0x8769, type: 4, value: 80 },
    ],
    8,
  );
  directory(size, 80);
  return bytes;
}

test.each([true, false])('says upright, the new size, and no preview (little endian: %s)', (little) => {
  const before = tiff(little, [
    { tag: 0xa002, type: 4, value: 6000 },
    { tag: 0xa003, type: 3, value: 4000 },
  ]);
  const expected = tiff(little, [
    { tag: 0xa002, type: 4, value: 900 },
    { tag: 0xa003, type: 3, value: 600 },
  ]);
  expected.writeUInt8(0, little ? 19 : 18);
  expected.writeUInt8(1, little ? 18 : 19);
  expected.writeUInt32LE(0, 34);
  expect(exifFor(before, { width: 900, height: 600 }).equals(expected)).toBe(true);
  expect(before.readUInt32LE(34)).not.toBe(0);
});

test('leaves alone what it cannot understand, and never reads beyond the end', () => {
  const whole = tiff(true, [{ tag: 0xa002, type: 4, value: 6000 }]);
  for (let length = 9; length < whole.length; length += 1) {
    expect(() => exifFor(whole.subarray(0, length), { width: 1, height: 1 })).not.toThrow();
  }
  const lost = Buffer.from(whole);
  lost.writeUInt32LE(0xfffffff0, 4);
  expect(exifFor(lost, { width: 1, height: 1 }).equals(lost)).toBe(true);
});

test('knows EXIF with and without its name, and nothing else', () => {
  const bytes = tiff(true, []);
  expect(tiffOf(bytes)?.equals(bytes)).toBe(true);
  expect(tiffOf(Buffer.concat([Buffer.from('Exif\0\0'), bytes]))?.equals(bytes)).toBe(true);
  expect(tiffOf(Buffer.from('something else entirely'))).toBe(null);
  expect(tiffOf(Buffer.from('II'))).toBe(null);
});
