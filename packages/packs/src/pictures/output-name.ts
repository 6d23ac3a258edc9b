/** The formats pictures are written in. */
export const OUTPUT_FORMATS = ['jpeg', 'webp', 'png'] as const;

export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** The name of an output: that of the input with the ending of the format. */
export function outputName(name: string, format: OutputFormat): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  let base = last.replace(/(?<=.)\.[^.]*$/, '');
  while (Buffer.byteLength(base) > LONGEST_BASE_BYTES) base = base.slice(0, -1).toWellFormed();
  return `${base === '' ? 'picture' : base}.${EXTENSIONS[format]}`;
}

/** File systems take 255 bytes for a name. */
const LONGEST_BASE_BYTES = 200;

const EXTENSIONS: Record<OutputFormat, string> = { jpeg: 'jpg', webp: 'webp', png: 'png' };
