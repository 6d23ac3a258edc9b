#!/usr/bin/env -S node --max-semi-space-size=8 --heap-growing-percent=75
// The flags bound what V8 takes before it cleans up: a server needs a third less memory, and is as fast.
// JavaScript that any Node since 12 understands: this file has to run under whatever Node the machine
// has, to go on under the Node that came with the package, or to say what is missing.
// biome-ignore-start lint/style/useNodejsImportProtocol: Node 12 does not know the protocol
import { spawn } from 'child_process';
import { existsSync, realpathSync } from 'fs';
import * as module from 'module';
import { constants, tmpdir } from 'os';
import { dirname, join } from 'path';
import { fileURLToPath } from 'url';
import { setFlagsFromString } from 'v8';

// biome-ignore-end lint/style/useNodejsImportProtocol: see above

const NEEDED = 24;
const FLAGS = ['--max-semi-space-size=8', '--heap-growing-percent=75'];
const here = dirname(realpathSync(fileURLToPath(import.meta.url)));

if (Number(process.versions.node.split('.')[0]) >= NEEDED) start();
else continueUnder(ownNode());

function start() {
  // V8 may crash where threads share optimised WebAssembly wrappers, which Node strips types by: with
  // this budget none is optimised. Set before the first of them is made.
  setFlagsFromString('--wasm-wrapper-tiering-budget=1000000000');
  // Keeps what it takes to read the program between two commands: half of the start-up time. Threads
  // and children look for the folder in the environment; without it each strips types by itself.
  if (module.enableCompileCache) {
    module.enableCompileCache();
    process.env.NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE || join(tmpdir(), 'node-compile-cache');
  }
  const built = join(here, '..', 'dist', 'cli', 'main.js');
  import(existsSync(built) ? '../dist/cli/main.js' : '../src/cli/main.ts')
    .then((program) => program.main(process.argv.slice(2)))
    .then((code) => {
      process.exitCode = code;
      // Whatever a command left open must not keep it from ending; what was written goes out first.
      process.stdout.write('', () => process.exit());
    })
    .catch((error) => {
      console.error(error);
      process.exit(1);
    });
}

/** The Node that was installed with the package: beside it, or above it where packages are shared. */
function ownNode() {
  for (let folder = here; ; folder = dirname(folder)) {
    const node = join(folder, 'node_modules', '.bin', 'node');
    if (existsSync(node) && realpathSync(node) !== realpathSync(process.execPath)) return node;
    if (folder === dirname(folder)) return null;
  }
}

function continueUnder(node) {
  if (node === null) {
    console.error(`error: sheaf needs Node ${NEEDED} or newer; this is ${process.versions.node}`);
    console.error(
      `hint: install Node ${NEEDED} (https://nodejs.org), or run it with  npx -p node@${NEEDED} sheaf`,
    );
    process.exit(78);
  }
  const child = spawn(node, FLAGS.concat(fileURLToPath(import.meta.url), process.argv.slice(2)), {
    stdio: 'inherit',
  });
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // ^C on a terminal reaches the child by itself; twice would mean "at once".
      if (signal !== 'SIGINT' || !hasTerminal) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`error: cannot start ${node} (${error.message})`);
    process.exit(78);
  });
  child.on('exit', (code, signal) => {
    process.exit(code === null ? 128 + (constants.signals[signal] || 0) : code);
  });
}
