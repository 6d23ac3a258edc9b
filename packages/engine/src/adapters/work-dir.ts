import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { outputNameProblem } from '../domain/attempt-notes.ts';
import type { RunOutput } from '../ports/runner.ts';

/** The largest output a runner hands on. @default of both runners */
export const MAX_OUTPUT_BYTES = 10 * 1024 ** 3;

/**
 * The path of an output in the attempt's folder, which is made when the first one is asked for.
 *
 * @param names Grows by the name.
 * @throws A TypeError when the name is not a plain file name.
 */
export function outputPath(workDir: string, names: Set<string>, name: unknown): string {
  const problem = outputNameProblem(name);
  if (problem !== null || typeof name !== 'string') {
    throw Object.assign(new TypeError(`The output name ${JSON.stringify(name)} ${problem}.`), {
      code: 'bad_output_name',
      permanent: true,
    });
  }
  // Synchronous because output() is; once an attempt, and only for attempts with outputs.
  if (names.size === 0) mkdirSync(workDir, { recursive: true });
  names.add(name);
  return join(workDir, name);
}

/**
 * The outputs that stand in the folder, or what is wrong with one. A name that was asked for and
 * never written is no output; a link, a device or a folder is refused, since what it leads to is
 * not the attempt's own.
 */
export function collectOutputs(
  workDir: string,
  names: Iterable<string>,
  maxBytes: number,
): RunOutput[] | { problem: string } {
  const outputs: RunOutput[] = [];
  for (const name of names) {
    const path = join(workDir, name);
    const stats = statsOf(path);
    if (stats === null) continue;
    if (!stats.isFile()) return { problem: `The output ${JSON.stringify(name)} is not a regular file.` };
    if (stats.size > maxBytes)
      return {
        problem: `The output ${JSON.stringify(name)} has ${stats.size} bytes; ${maxBytes} are allowed.`,
      };
    outputs.push({ name, path });
  }
  return outputs;
}

/** Synchronous: it was written a moment ago, and a trip to another thread costs ten times as much. */
function statsOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
}

/** Removes the folder with all it holds. It never rejects: what cannot go now is swept later. */
export async function removeWorkDir(workDir: string): Promise<void> {
  await rm(workDir, { recursive: true, force: true }).catch(() => undefined);
}
