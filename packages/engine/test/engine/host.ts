/**
 * A program that works on a data folder until all its batches are final, for tests that kill it.
 *
 *   node host.ts '{"data_dir": "…", "ledger": "…", …}'
 *
 * It says on stdout, a JSON line each: `ready` with what the recovery found, `made` with the id of a
 * batch it was asked to make, `final` when nothing is left to do, `failed` with a code before it exits
 * with the number that the code stands for.
 */
import { randomUUID } from 'node:crypto';
import { fsyncSync, openSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { type CreateBatch, ERRORS, errorCode } from '@sheaf/protocol';
import { z } from 'zod';
import type { Engine } from '../../src/api.ts';
import { defineProcessor } from '../../src/define-processor.ts';
import { createEngine } from '../../src/engine.ts';
import type { EngineOptions } from '../../src/options.ts';
import type { Processor } from '../../src/ports/processor.ts';
import * as heartbeats from './heartbeats.ts';

export type HostOptions = {
  /** Where each run of an item is written down and synced before it ends. */
  ledger: string;
  /** Processors to install. */
  processors: string[];
  engine: EngineOptions;
  /** A batch to make before anything else. */
  make?: CreateBatch;
  /** Ask for everything that waits for review to go on. */
  recover?: boolean;
  /** Work until killed, whatever there is to do. */
  stay?: boolean;
};

const options = JSON.parse(process.argv[2] ?? '') as HostOptions;
const ledger = openSync(options.ledger, 'a');

/** Writes down what it did, outside of the engine and for good. */
function enter(line: object): void {
  writeSync(ledger, `${JSON.stringify(line)}\n`);
  fsyncSync(ledger);
}

const config = z.strictObject({
  wait_ms: z.int().default(0),
  /** Items that kill the process which runs them. */
  killers: z.array(z.int()).default([]),
});

async function run(
  { seq, attempt }: { seq: number; attempt: number },
  context: { config: z.infer<typeof config> },
) {
  const { wait_ms, killers } = context.config;
  if (killers.includes(seq)) {
    enter({ seq, attempt, killer: true });
    process.kill(process.pid, 'SIGKILL');
  }
  if (wait_ms > 0) await wait(wait_ms);
  const nonce = randomUUID();
  enter({ seq, attempt, nonce, pid: process.pid, at: Date.now() });
  return { nonce };
}

const KNOWN: Record<string, Processor> = Object.fromEntries(
  [
    defineProcessor({ name: 'ledger', config, run }),
    defineProcessor({ name: 'unsafe', idempotent: false, config, run }),
    heartbeats.calm,
    heartbeats.looping,
  ].map((processor) => [processor.name, processor as unknown as Processor]),
);

try {
  await serve();
} catch (error) {
  const code = errorCode(error) ?? 'internal';
  say({ say: 'failed', code });
  console.error(error);
  process.exit(ERRORS[code].exit);
}

async function serve(): Promise<void> {
  const engine = await createEngine({
    ...options.engine,
    processors: options.processors.flatMap((name) => KNOWN[name] ?? []),
    onError: (error) => console.error(error),
  });
  say({ say: 'ready', recovery: engine.recovery });
  try {
    await Promise.race([...(options.stay === true ? [] : [work(engine)]), engine.failed]);
  } finally {
    await engine.close();
  }
}

async function work(engine: Engine): Promise<void> {
  if (options.make !== undefined) {
    const { batch } = await engine.create(options.make);
    say({ say: 'made', id: batch.id });
  }
  if (options.recover === true) say({ say: 'recovered', ...(await engine.recover()) });
  for (const { id } of (await engine.list({ limit: 100, offset: 0 })).data) {
    await engine.wait({ batch_id: id, until: 'final' });
  }
  say({ say: 'final' });
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
