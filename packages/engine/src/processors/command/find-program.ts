import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { permanent } from '../../define-processor.ts';

/**
 * The full path of a program: of a name, the first on the path that may be run; of a path, itself.
 *
 * @throws A permanent `program_missing` that says what was looked for.
 */
export async function findProgram(program: string, path: string): Promise<string> {
  const isName = !/[/\\]/.test(program);
  const folders = isName ? path.split(delimiter).filter(Boolean) : [];
  const candidates = isName
    ? folders.map((folder) => join(folder, program))
    : [isAbsolute(program) ? program : resolve(program)];
  const endings = process.platform === 'win32' ? ['', '.exe', '.com'] : [''];
  for (const candidate of candidates.flatMap((start) => endings.map((ending) => start + ending))) {
    if (await isRunnable(candidate)) return candidate;
  }
  const where = isName ? `on the path (${path})` : 'there, or it may not be run';
  throw permanent(
    `There is no program "${program}" ${where}. Install it, or give its full path.`,
    'program_missing',
  );
}

async function isRunnable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
