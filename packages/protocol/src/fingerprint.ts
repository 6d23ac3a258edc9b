/**
 * What makes two failures the same cause: the code and the message without what differs from item
 * to item (quoted text, paths, file names, ids, numbers). Order matters: the widest come first.
 */
const VARYING: readonly (readonly [RegExp, string])[] = [
  // A message that is cut inside a quotation ends there.
  [/"[^"]*(?:"|$)|'[^']*'|`[^`]*(?:`|$)|«[^»]*(?:»|$)|“[^”]*(?:”|$)/g, '"…"'],
  [/\b[a-z][a-z0-9+.-]*:\/\/\S+/gi, '<url>'],
  [/\b(?:bat|fil)_[0-9a-z]+(?:\/\d+)?/g, '<id>'],
  // A path is absolute, deep, or ends like a file; `input/output` is two words.
  [/(?:[A-Za-z]:|[\p{L}\p{M}\p{N}_.~-]+)?(?:[\\/][^\s\\/:,;]+){2,}[\\/]?/gu, '<path>'],
  [/[\p{L}\p{M}\p{N}_.~-]+[\\/][^\s\\/:,;]*\.[^\s\\/:,;]+/gu, '<path>'],
  [/(?<![\p{L}\p{M}\p{N}_])(?:[A-Za-z]:|~|\.{1,2})?[\\/][^\s\\/:,;]+[\\/]?/gu, '<path>'],
  [/[\p{L}\p{M}\p{N}_-]+(?:\.[\p{L}\p{M}\p{N}_-]+)*\.[A-Za-z][A-Za-z0-9]{0,4}(?![\p{L}\p{N}])/gu, '<name>'],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, '<id>'],
  [/\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi, '<hex>'],
  [/[-+]?\d+(?:[.,:]\d+)*/g, '<n>'],
];

/**
 * The fingerprint of a failure: equal for items that failed for the same reason. It is readable on
 * purpose, so that a person can pass it back as `cause`.
 */
export function fingerprint(failure: { code: string; message: string }): string {
  let message = failure.message.slice(0, 500);
  for (const [pattern, word] of VARYING) message = message.replace(pattern, word);
  const text = `${failure.code}: ${message.replace(/\s+/g, ' ').trim()}`.slice(0, 200);
  // Cut between the halves of a character it could not be stored, nor asked for.
  return text.toWellFormed();
}
