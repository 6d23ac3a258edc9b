import { z } from 'zod';
import { inBands } from './bands.ts';
import type { Pixels } from './pixels.ts';

const amount = z.number().min(-100).max(100);

/**
 * The way a picture looks, as photographers set it. Zero everywhere changes nothing.
 *
 * Amounts go from -100 to 100; exposure is in stops (EV).
 */
export const lookSchema = z.strictObject({
  exposure: z.number().min(-4).max(4).default(0).describe('Brightness in stops: 1 doubles the light'),
  contrast: amount.default(0),
  saturation: amount.default(0),
  temperature: amount.default(0).describe('White balance: above zero is warmer'),
  tint: amount.default(0).describe('White balance: above zero is towards magenta, below towards green'),
  shadows: amount.default(0).describe('Above zero opens the dark parts'),
  highlights: amount.default(0).describe('Below zero brings back the bright parts'),
  black_and_white: z.boolean().default(false),
  sharpen: z.number().min(0).max(100).default(0),
});

/** How a picture is made to look. */
export type Look = z.infer<typeof lookSchema>;

/**
 * Changes pixels in place to a look, all but its sharpening; opacity stays.
 *
 * Works in bands and lets others run in between, so a large picture does not stop the heartbeats
 * of the process.
 *
 * @throws The reason of the signal when it aborts.
 */
export async function applyLook(pixels: Pixels, look: Look, signal?: AbortSignal): Promise<void> {
  const { data, channels } = pixels;
  const saturation = look.black_and_white ? 0 : 1 + look.saturation / 100;
  const curves = toneCurves(look);
  // Whole numbers with 16 bits behind the point: six times faster than fractions, and as exact.
  const [red, green, blue] = curves.map((curve) => scaled(curve, saturation)) as Tables;
  const [greyOfRed, greyOfGreen, greyOfBlue] = curves.map((curve, colour) =>
    scaled(curve, (LUMA[colour] ?? 0) * (1 - saturation)),
  ) as Tables;
  await inBands(data.length, channels, signal, (from, to) => {
    for (let at = from; at < to; at += channels) {
      // The tables have an entry for every byte, and the band ends where the pixels end.
      const r = data[at] as number;
      const g = data[at + 1] as number;
      const b = data[at + 2] as number;
      const grey = (greyOfRed[r] as number) + (greyOfGreen[g] as number) + (greyOfBlue[b] as number) + ROUND;
      data[at] = clampByte((grey + (red[r] as number)) >> 16);
      data[at + 1] = clampByte((grey + (green[g] as number)) >> 16);
      data[at + 2] = clampByte((grey + (blue[b] as number)) >> 16);
    }
  });
}

type Tables = [Int32Array, Int32Array, Int32Array];

const ROUND = 32_768;

function scaled(curve: Float32Array, share: number): Int32Array {
  return Int32Array.from(curve, (value) => Math.round(value * share * 65_536));
}

/** One curve for each of red, green and blue: the new value (0–255, with fractions) of each byte. */
export function toneCurves(look: Look): [Float32Array, Float32Array, Float32Array] {
  const gain = 2 ** look.exposure;
  const [red, green, blue] = whiteBalance(look);
  return [curve(look, gain * red), curve(look, gain * green), curve(look, gain * blue)];
}

// Rec. 709: how bright each colour is to the eye.
const LUMA_RED = 0.2126;
const LUMA_GREEN = 0.7152;
const LUMA_BLUE = 0.0722;
const LUMA = [LUMA_RED, LUMA_GREEN, LUMA_BLUE];

/** Gains of red, green and blue that leave the brightness of grey as it is. */
function whiteBalance({ temperature, tint }: Look): [number, number, number] {
  const red = 2 ** (0.35 * (temperature / 100) + 0.1 * (tint / 100));
  const green = 2 ** (-0.2 * (tint / 100));
  const blue = 2 ** (-0.35 * (temperature / 100) + 0.1 * (tint / 100));
  const sum = red * LUMA_RED + green * LUMA_GREEN + blue * LUMA_BLUE;
  return [red / sum, green / sum, blue / sum];
}

function curve(look: Look, gain: number): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const lit = toGamma(shoulder(toLinear(byte / 255) * gain, gain));
    return 255 * withContrast(withTone(lit, look), look.contrast);
  });
}

/**
 * Rolls off what a gain would push over white: full effect up to the middle, then gently to 1, so
 * that skies keep their shades.
 */
function shoulder(light: number, gain: number): number {
  const knee = 0.5;
  if (gain <= 1 || light <= knee) return light;
  const part = (light - knee) / (gain - knee);
  const slope = (gain - knee) / (1 - knee);
  return knee + (1 - knee) * ((slope * part) / (1 + (slope - 1) * part));
}

// 0.2 keeps the curve rising when both are at their ends; against the grain half of it is enough.
const TONE_WITH = 0.2;
const TONE_AGAINST = 0.1;
/** The peak of `x (1 - x)³`, at a quarter. */
const TONE_PEAK = 0.25 * 0.75 ** 3;

/** Opens or closes shadows and highlights; black and white stay where they are. */
function withTone(value: number, { shadows, highlights }: Look): number {
  const dark = (value * (1 - value) ** 3) / TONE_PEAK;
  const bright = (value ** 3 * (1 - value)) / TONE_PEAK;
  const lift = (shadows / 100) * (shadows > 0 ? TONE_WITH : TONE_AGAINST);
  const push = (highlights / 100) * (highlights < 0 ? TONE_WITH : TONE_AGAINST);
  return value + lift * dark + push * bright;
}

/** An S through black, middle grey and white. */
function withContrast(value: number, contrast: number): number {
  const power = 2 ** (contrast / 100);
  return value < 0.5 ? 0.5 * (2 * value) ** power : 1 - 0.5 * (2 - 2 * value) ** power;
}

function toLinear(value: number): number {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function toGamma(light: number): number {
  return light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
}

function clampByte(value: number): number {
  return value < 0 ? 0 : Math.min(value, 255);
}
