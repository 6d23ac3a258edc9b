import { z } from 'zod';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Why a text cannot be a name, or null when it can. Odd but printable names are data and welcome. */
export function nameProblem(text: string): string | null {
  if (!text.isWellFormed()) return 'has half a character (a lone surrogate)';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused here
  if (/[\u0000-\u001f\u007f-\u009f]/.test(text)) return 'has control characters';
  if (/^[\p{Z}\p{Cf}]*$/u.test(text)) return 'has nothing that can be seen';
  if (text.length > 255) return 'is longer than 255 characters';
  if (isLonger(text, 1024)) return 'is longer than 1,024 bytes';
  return null;
}

/** A name of a batch or an item: 1–255 printable characters, stored as NFC. A name is never a path. */
export const nameSchema = z
  .string()
  .overwrite((text) => text.normalize('NFC'))
  .superRefine((text, context) => {
    const problem = nameProblem(text);
    if (problem !== null) {
      context.addIssue({ code: 'custom', message: `The name ${problem}.`, params: { code: 'invalid_name' } });
    }
  });

/** A line or a text of the caller's: anything but what not every database keeps (NUL, half characters). */
export function plainText(max: number, min = 0) {
  return z
    .string()
    .min(min)
    .max(max)
    .refine((text) => text.isWellFormed() && !text.includes('\0'), {
      message: 'A text has no NUL and no half characters.',
    });
}

/** Whether a text has more bytes than that in UTF-8. */
export function isLonger(text: string, bytes: number): boolean {
  if (text.length > bytes) return true;
  // No UTF-16 unit needs more than three bytes: most texts are never measured.
  return text.length * 3 > bytes && new Blob([text]).size > bytes;
}

/** Whether a value has more bytes than that as JSON. One that holds itself is longer than any. */
export function isLongerJson(value: unknown, bytes: number): boolean {
  try {
    return isLonger(JSON.stringify(value), bytes);
  } catch {
    return true;
  }
}

/** Any JSON value. */
export const jsonSchema = z.json();

/** Small free data of the caller: at most 16 KiB, at most 8 levels deep. */
export const metadataSchema = z.record(z.string().max(255), jsonSchema).superRefine((value, context) => {
  if (isLongerJson(value, 16_384)) {
    context.addIssue({ code: 'custom', message: 'Metadata is larger than 16 KiB.' });
  } else if (depthOf(value) > 8) {
    context.addIssue({ code: 'custom', message: 'Metadata is nested deeper than 8.' });
  }
});

/** How deep a JSON value is nested; a plain value is 0. */
export function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner));
  return deepest + 1;
}
