import { access, constants, glob, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { failure } from './failure.ts';
import { clean } from './view/clean.ts';
import { shellWord } from './view/format.ts';

/** A file to become an item. */
export type InputFile = {
  path: string;
  /** The item's name: the last part of the path. */
  name: string;
  /** Folder below the one that was named, where its outputs go again; empty for the folder itself. */
  folder: string;
  bytes: number;
};

export type Inputs = { files: InputFile[]; bytes: number };

/**
 * The files that paths, folders and patterns stand for: folders with all below, sorted by name, hidden
 * files left out. A file named twice is taken once.
 *
 * @throws no_input when something is not there, cannot be read, or matches nothing.
 */
export async function collectFiles(paths: readonly string[]): Promise<Inputs> {
  const files = new Map<string, InputFile>();
  for (const path of paths) {
    for (const file of await expand(path)) files.set(file.path, file);
  }
  const list = [...files.values()];
  return { files: list, bytes: list.reduce((sum, file) => sum + file.bytes, 0) };
}

/**
 * A word to who names a file of lines and may mean an item from each: it is taken whole, which is what a
 * processor of files wants. Whoever names a folder or a pattern means files.
 */
export function linesHint(paths: readonly string[], files: readonly InputFile[]): string | null {
  const [path = ''] = paths;
  const isNamed = paths.length === 1 && files[0]?.path === path;
  if (!isNamed || !/\.(?:ndjson|jsonl)$/i.test(path)) return null;
  return `${clean(basename(path))} is one item, as a file. For an item from each line:  --manifest ${shellWord(clean(path))}`;
}

async function expand(path: string): Promise<InputFile[]> {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) {
    throw failure('usage', `"${path}" is an address; only files are taken so far`, 'fetch it first');
  }
  const found = await stat(path).catch((error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw unreadable(path, error);
  });
  if (found === null) {
    if (!/[*?[{]/.test(path)) throw failure('no_input', `there is no file or folder ${path}`);
    return await expandPattern(path);
  }
  if (!found.isDirectory()) return [await inputFile(path, '')];
  const files = await readFolder(path, path);
  if (files.length === 0)
    throw failure('no_input', `no files in ${path}`, 'hidden files are left out; name them one by one');
  return files;
}

async function expandPattern(pattern: string): Promise<InputFile[]> {
  const paths: string[] = [];
  for await (const path of glob(pattern)) {
    if (!isHidden(path, pattern)) paths.push(path);
  }
  const files: InputFile[] = [];
  for (const path of paths.sort(byName)) {
    if ((await stat(path)).isFile()) files.push(await inputFile(path, ''));
  }
  if (files.length === 0) throw failure('no_input', `no file matches ${pattern}`);
  return files;
}

/** A pattern matches hidden names only where it says so itself, as in a shell. */
function isHidden(path: string, pattern: string): boolean {
  return /(?:^|[/\\])\.[^./\\]/.test(path) && !/(?:^|[/\\])\.[^./\\]/.test(pattern);
}

async function readFolder(root: string, folder: string): Promise<InputFile[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error) => {
    throw unreadable(folder, error);
  });
  const files: InputFile[] = [];
  for (const entry of entries.sort((a, b) => byName(a.name, b.name))) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await readFolder(root, path)));
    // A link to a file counts; one to a folder might lead in a circle.
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)))) {
      files.push(await inputFile(path, relative(root, folder).split(sep).join('/')));
    }
  }
  return files;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}

async function inputFile(path: string, folder: string): Promise<InputFile> {
  const found = await stat(path).catch((error) => {
    throw unreadable(path, error);
  });
  if (!found.isFile()) throw failure('no_input', `${path} is neither a file nor a folder`);
  await access(path, constants.R_OK).catch((error) => {
    throw unreadable(path, error);
  });
  return { path, name: basename(path), folder, bytes: found.size };
}

function unreadable(path: string, error: NodeJS.ErrnoException) {
  const reason =
    error.code === 'EACCES' || error.code === 'EPERM' ? 'permission denied' : (error.code ?? error.message);
  return failure('no_input', `cannot read ${path} (${reason})`);
}

/** A name for a batch of these: what was named, without the way to it. */
export function nameFor(paths: readonly string[], otherwise: string): string {
  const [first] = paths;
  if (first === undefined || first === '-') return otherwise;
  const isPattern = /[*?[{]/.test(basename(first));
  const named = basename(isPattern ? dirname(first) : first);
  const name = named === '.' || named === '..' || named === '' ? basename(join(process.cwd(), first)) : named;
  return paths.length === 1 ? name : `${name} and ${paths.length - 1} more`;
}

/** By number where names have numbers: `2.jpg` before `10.jpg`. */
function byName(a: string, b: string): number {
  return NAMES.compare(a, b) || (a < b ? -1 : 1);
}

const NAMES = new Intl.Collator('en', { numeric: true });
