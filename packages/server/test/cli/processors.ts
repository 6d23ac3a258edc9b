import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A file with processors as a user writes one, without a word of ours: `copy` hands files through and
 * fails those named bad, `double` doubles numbers and writes a log line.
 */
const PROCESSORS = `
import { copyFileSync } from 'node:fs';

export const copy = {
  name: 'copy',
  run(item, context) {
    if (item.name.startsWith('bad')) throw Object.assign(new Error('it is bad'), { permanent: true, code: 'bad' });
    copyFileSync(item.file.path, context.output(item.name));
    return { bytes: item.file.bytes };
  },
};

export const double = {
  name: 'double',
  run(item, context) {
    context.log('doubling ' + item.input);
    return item.input * 2;
  },
};
`;

/** Writes the processors, and a folder of small files: three good ones, one bad. */
export function writeFiles(dir: string): void {
  writeFileSync(join(dir, 'processors.ts'), PROCESSORS);
  mkdirSync(join(dir, 'in', 'sub'), { recursive: true });
  for (const name of ['a.txt', 'b.txt', 'bad.txt', 'sub/a.txt'])
    writeFileSync(join(dir, 'in', name), `${name}\n`);
}
