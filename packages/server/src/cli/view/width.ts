/** Columns a terminal needs for a text without escapes; wide East Asian letters and emoji take two. */
export function widthOf(text: string): number {
  let width = 0;
  for (const letter of text) width += NO_WIDTH.test(letter) ? 0 : WIDE.test(letter) ? 2 : 1;
  return width;
}

/** Cuts a text to at most this many columns; what was cut shows as `…` at its end. */
export function fit(text: string, columns: number): string {
  if (columns <= 0) return '';
  if (text.length <= columns && PLAIN.test(text)) return text;
  if (widthOf(text) <= columns) return text;
  let width = 0;
  let kept = '';
  for (const letter of text) {
    const next = width + widthOf(letter);
    if (next > columns - 1) break;
    width = next;
    kept += letter;
  }
  return `${kept}…`;
}

/** Cuts a coloured line to at most this many columns: escapes take none and are always kept. */
export function fitColoured(line: string, columns: number): string {
  let width = 0;
  let result = '';
  let isCut = false;
  for (const part of line.split(COLOUR)) {
    if (part.startsWith('\u001b')) result += part;
    else if (!isCut) {
      const kept = fit(part, columns - width);
      isCut = kept !== part;
      width += widthOf(kept);
      result += kept;
    }
  }
  return result;
}

/** Fills a text with spaces up to this many columns. */
export function pad(text: string, columns: number, side: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, columns - widthOf(text)));
  return side === 'left' ? text + space : space + text;
}

const PLAIN = /^[ -~]*$/;
const NO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours begin with one
const COLOUR = /(\u001b\[[0-9;]*m)/;
