import { once } from 'node:events';
import { Readable, Writable } from 'node:stream';

// A program that runs commands one after the other, as the bin runs each in a process of its own: the
// same code, loaded once. What a process adds (signals, terminals, ends) is for the tests of processes.

export type Command = {
  id: number;
  args: readonly string[];
  env: Record<string, string>;
  input: string;
  cwd: string;
};

export type Reply = { id: number; code: number; stdout: string; stderr: string };

// Stays, whatever environment a command is given: the database's threads start faster with it.
const { NODE_COMPILE_CACHE = '' } = process.env;
const { main } = await import('../../src/cli/main.ts');
let last = Promise.resolve();
process.on('message', (command: Command) => {
  last = last.then(() => run(command));
});

async function run({ id, args, env, input, cwd }: Command): Promise<void> {
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, { NODE_COMPILE_CACHE }, env);
  const [stdout, stderr] = [collector(), collector()];
  const streams = {
    stdin: Readable.from(input === '' ? [] : [Buffer.from(input)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
  };
  for (const [name, value] of Object.entries(streams))
    Object.defineProperty(process, name, { value, configurable: true });
  const code = await main(args);
  for (const { stream } of [stdout, stderr]) {
    stream.end();
    await once(stream, 'finish');
  }
  process.send?.({ id, code, stdout: stdout.text(), stderr: stderr.text() } satisfies Reply);
}

function collector() {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}
