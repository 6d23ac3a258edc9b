import { rm, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Json } from '@sheaf/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createInlineRunner } from '../../adapters/runner-inline/inline-runner.ts';
import { createProcessRunner } from '../../adapters/runner-process/process-runner.ts';
import type { Processor } from '../../ports/processor.ts';
import type { Runner, RunResult, RunTask } from '../../ports/runner.ts';
import { makeTask } from './runner/scene.ts';

/** An item the processor must complete. */
export type ProcessorSample = {
  /** Says what it shows. @default 'its sample' */
  title?: string;
  config?: Record<string, Json>;
  input?: Json;
  /** A file for the item; its name is the item's. */
  path?: string;
  /** Called with the result, parsed, and the outputs while their files are there. */
  check?: (result: unknown, outputs: readonly { name: string; path: string }[]) => void | Promise<void>;
};

/**
 * What everyone may expect of a processor: schemas that can be shown, samples that complete and can
 * be run again, and an end when it is asked to stop. Runs it as its isolation says.
 *
 * @param samples Items that must complete, with the pack's own sample data.
 */
export function processorContract(processor: Processor, samples: readonly ProcessorSample[]): void {
  describe(`Processor: ${processor.name}`, () => {
    let runner: Runner;
    beforeAll(() => {
      runner =
        processor.isolation === 'inline' ? createInlineRunner() : createProcessRunner({ max_children: 2 });
    });
    afterAll(() => runner.close());

    test('says what it is, in a version and a sentence', () => {
      expect(processor.version).toMatch(/^\d+\.\d+\.\d+$/);
      expect(processor.description).not.toBe('');
    });

    test('has schemas that can be shown as JSON Schema', () => {
      for (const schema of [processor.config, processor.input]) {
        expect(() => z.toJSONSchema(schema, { io: 'input', unrepresentable: 'throw' })).not.toThrow();
      }
    });

    test('refuses config it does not know', () => {
      expect(processor.config.safeParse({ ...samples[0]?.config, no_such_setting: 1 }).success).toBe(false);
    });

    test.runIf(processor.isolation === 'process')(
      'is exported by the module that children import',
      async () => {
        const exported: Record<string, unknown> = await import(processor.module ?? '');
        const names = Object.values(exported).map((value) => (value as { name?: unknown } | null)?.name);
        expect(names).toContain(processor.name);
      },
    );

    for (const sample of samples) {
      const title = sample.title ?? 'its sample';
      test(`completes ${title}`, async () => {
        const task = sampleTask(processor, sample);
        await check(await runner.run(task, CALM), sample);
        await rm(task.work_dir, { recursive: true, force: true });
      });

      test.runIf(processor.idempotent)(`completes ${title} again`, async () => {
        for (const attempt of [1, 2]) {
          const task = sampleTask(processor, sample);
          const result = await runner.run({ ...task, item: { ...task.item, attempt } }, CALM);
          await rm(task.work_dir, { recursive: true, force: true });
          await check({ ...result, ...(result.ok ? { outputs: [] } : {}) }, { title });
        }
      });

      test(`ends ${title} soon when it is asked to stop`, async () => {
        const abort = new AbortController();
        const task = sampleTask(processor, sample);
        const running = runner.run(task, { signal: abort.signal, onNews: () => abort.abort() });
        abort.abort();
        const asked = performance.now();
        const result = await running;
        await rm(task.work_dir, { recursive: true, force: true });
        // A quick one may have been through before it was asked.
        expect(result.ok ? 'completed' : result.error.kind).toMatch(/^(?:completed|cancelled)$/);
        expect(performance.now() - asked).toBeLessThan(4_000);
      });
    }
  });
}

const CALM = { signal: null, onNews: () => undefined };

function sampleTask(processor: Processor, { config = {}, input = {}, path }: ProcessorSample): RunTask {
  // As intake does: what the processor sees has its defaults filled in.
  const task = makeTask(processor, {
    config: processor.config.parse(config) as Json,
    input: processor.input.parse(input) as Json,
  });
  if (path === undefined) return task;
  const name = basename(path);
  const file = { path, name, bytes: 0, sha256: '0'.repeat(64), media_type: 'application/octet-stream' };
  return { ...task, item: { ...task.item, name, file } };
}

async function check(result: RunResult, { check: checkMore }: ProcessorSample): Promise<void> {
  if (!result.ok) throw new Error(`${result.error.code}: ${result.error.message}`);
  for (const { path } of result.outputs) expect((await stat(path)).size).toBeGreaterThan(0);
  await checkMore?.(result.result === null ? null : JSON.parse(result.result), result.outputs);
}
