/**
 * Completes package-lock.json after an install.
 *
 * Some tools name a binary package for every platform, and npm leaves the ones it could not look
 * up out of the lock file; `npm ci` then refuses the lock as incomplete. This adds an entry that
 * says for which platform the package is, so that every other platform skips it.
 *
 * Runs by itself after each install that changed something (the `dependencies` script).
 * With --check it changes nothing and fails if there is something to add.
 */
import { readFileSync, writeFileSync } from 'node:fs';

type LockEntry = {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  resolved?: string;
  link?: boolean;
  optionalDependencies?: Record<string, string>;
};
type Lock = { packages: Record<string, LockEntry> };

const OS = [
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
];
const CPU = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock;
const missing = findMissing(lock);
const withAddress = Object.entries(lock.packages).filter(([, entry]) => entry.resolved && !entry.link);

if (process.argv.includes('--check')) {
  for (const [name] of missing) console.log(`package-lock.json has no entry for ${name}`);
  for (const [name] of withAddress) console.log(`package-lock.json records a download address for ${name}`);
  if (missing.length + withAddress.length > 0) {
    console.log('Run: npm run dependencies');
    process.exit(1);
  }
} else if (missing.length + withAddress.length > 0) {
  for (const [, entry] of withAddress) delete entry.resolved;
  const packages = { ...lock.packages, ...Object.fromEntries(missing) };
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, 'en'));
  writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
  console.log(`package-lock.json: added ${missing.length} platform packages`);
}

function findMissing({ packages }: Lock): [string, LockEntry][] {
  const found = new Map<string, LockEntry>();
  for (const [parent, { dev = false, optionalDependencies = {} }] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (!isResolved(packages, parent, name)) found.set(`node_modules/${name}`, stub(name, version, dev));
    }
  }
  return [...found];
}

/** Looks where Node would look: beside the parent's own packages first, then upwards to the root. */
function isResolved(packages: Lock['packages'], parent: string, name: string): boolean {
  for (let folder = parent; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    if (packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`]) return true;
    if (folder === '') return false;
  }
}

function stub(name: string, version: string, dev: boolean): LockEntry {
  const words = name.split(/[/-]/);
  const os = OS.filter((word) => words.includes(word));
  const cpu = CPU.filter((word) => words.includes(word));
  if (os.length === 0) throw new Error(`No platform in the name ${name}; add its entry to the lock by hand.`);
  const libc = words.some((word) => word.startsWith('musl')) ? ['musl'] : [];
  return {
    version: version.replace(/^[\^~]/, ''),
    ...(cpu.length > 0 && { cpu }),
    ...(dev && { dev }),
    ...(libc.length > 0 && { libc }),
    optional: true,
    os,
  };
}
