import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Batch, isActive, type ProcessorInfo, SheafError, type Template } from '@sheaf/protocol';
import { z } from 'zod';
import manifest from '../package.json' with { type: 'json' };
import { holdGuard } from './adapters/guard/guard.ts';
import { createInlineRunner } from './adapters/runner-inline/inline-runner.ts';
import { createProcessRunner } from './adapters/runner-process/process-runner.ts';
import type { Engine, RecoveryReport } from './api.ts';
import type { Deployment, DeploymentOptions } from './deploy/deployment.ts';
import { openEmbedded } from './deploy/embedded.ts';
import { createRegistry, type Registry } from './domain/registry.ts';
import { type EngineOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import type { Chance } from './ports/clock.ts';
import type { PackTemplate, Processor } from './ports/processor.ts';
import type { Runner } from './ports/runner.ts';
import { defineHttp } from './processors/http/http.ts';
import { probe } from './processors/probe/probe.ts';
import { createControl } from './runtime/control.ts';
import { createIntake } from './runtime/intake.ts';
import { createPulses } from './runtime/pulse.ts';
import { createRecords } from './runtime/records.ts';
import { watchFiles, watchStore } from './runtime/storage-watch.ts';
import { createUploads } from './runtime/uploads.ts';
import { createViews } from './runtime/views.ts';
import { startWorks, type Works } from './runtime/works.ts';

/**
 * Opens an engine on a folder: the one place where ports meet adapters.
 *
 * When it resolves, whatever a crash interrupted has been found, and goes on or waits for review.
 *
 * @throws bad_config for a wrong option; already_running when another process works on the folder;
 *   storage_failed when the database is damaged.
 */
export async function createEngine(given: EngineOptions): Promise<Engine> {
  const options = resolveOptions(given);
  const folder = resolve(options.data_dir);
  await makeFolder(folder);
  const boot = randomUUID();
  // What is open is closed again, last opened first: after `close`, or when the start fails halfway.
  const opened = new AsyncDisposableStack();
  try {
    const guard = holdGuard(folder, { boot, now: Date.now() });
    opened.defer(() => guard.release());
    return await openEngine(options, { folder, boot, opened });
  } catch (error) {
    await opened.disposeAsync();
    throw isFullDisk(error)
      ? new SheafError('storage_full', `The disk of ${folder} is full; make room and start again.`, {}, error)
      : error;
  }
}

/** As the file system or SQLite says it, before there is a Store to put it in our words. */
function isFullDisk(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  return ('code' in error && error.code === 'ENOSPC') || ('errcode' in error && error.errcode === 13);
}

async function openEngine(
  options: ResolvedOptions,
  { folder, boot, opened }: { folder: string; boot: string; opened: AsyncDisposableStack },
): Promise<Engine> {
  const chance: Chance = { random: () => Math.random(), bytes: (count) => randomBytes(count) };
  const processors = processorsOf(options);
  const templates = templatesOf(options);
  const workDir = join(folder, 'work');
  await rm(workDir, { recursive: true, force: true });

  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const watch = { onFailed, onFull: () => void works?.onFullDisk().catch(options.onError) };
  const deployment = await openDeployment(options, { folder, boot, opened });
  const { dispatch, events, clock } = deployment;
  const store = watchStore(deployment.store, watch);
  const files = watchFiles(deployment.files, watch);
  const pulses = createPulses({ events, clock });
  opened.defer(() => pulses.close());
  const uploads = createUploads({ store, files, clock, chance });
  const intake = createIntake({ store, uploads, clock, chance, processors, templates });
  store.onEvents((space, stored) => {
    for (const event of stored) events.publish(space, event);
  });

  let works: Works | null = null;
  if (options.work) {
    const runner = createRunner(options.concurrency);
    opened.defer(() => runner.close());
    works = await startWorks({
      store,
      dispatch,
      files,
      clock,
      chance,
      runner,
      processors,
      pulses,
      boot,
      version: VERSION,
      folder,
      work_dir: workDir,
      isShared: deployment.isShared,
      pools: options.pools,
      concurrency: options.concurrency,
      recovery: options.recovery,
      retention_days: options.retention_days,
      onError: options.onError,
      opened,
    });
  }
  const worker = works?.worker ?? null;
  const control = createControl({ store, clock, chance, intake, processors, worker, offer });
  const views = createViews({ store, events, clock, pulses, worker, isShared: deployment.isShared });

  /** The disk did not keep a write: nothing more is done here, so that nothing is lost. */
  function onFailed(error: unknown): void {
    failure.reject(error);
    options.onError(error);
    void works?.worker.close(0).catch(options.onError);
  }

  let closing: Promise<void> | null = null;
  async function close(drainMs: number): Promise<void> {
    try {
      await worker?.close(drainMs);
    } finally {
      await opened.disposeAsync();
    }
  }

  return {
    ...control,
    ...views,
    async create(batch, who = {}) {
      works?.disk?.refuseWhenFull();
      const answer = await intake.create(batch, who);
      await offer(answer.batch);
      return answer;
    },
    async append(target, items) {
      works?.disk?.refuseWhenFull();
      const answer = await intake.append(target, items);
      await offer(answer.batch);
      return answer;
    },
    async upload(source, { space = 'default', name, media_type, max_bytes }) {
      works?.disk?.refuseWhenFull();
      return uploads.put(source, {
        space,
        name,
        media_type: media_type ?? 'application/octet-stream',
        ...(max_bytes === undefined ? {} : { max_bytes }),
      });
    },
    file: ({ space = 'default', file_id }) => store.file({ space, file_id }),
    async openFile({ space = 'default', file_id, start, end }) {
      const file = await store.file({ space, file_id });
      const range = start === undefined ? undefined : { start, end: end ?? file.bytes - 1 };
      return { file, stream: await files.open(space, file.sha256, range) };
    },
    processors: () => processors.all().map(describe),
    templates: () => templates.all().map((template): Template => ({ ...template })),
    recordsOf: (pack, space = 'default') => createRecords({ store, clock, pack, space }),
    async workers() {
      return (await store.workers(clock.now())).filter((one) => one.is_alive);
    },
    recovery: works?.recovery ?? NO_RECOVERY,
    about: () => store.about(),
    checkInvariants: () => store.checkInvariants(),
    failed: failure.promise,
    async close({ drain_ms = options.drain_ms } = {}) {
      closing ??= close(drain_ms);
      if (drain_ms === 0) worker?.cutOff();
      await closing;
    },
  };

  /** In a cluster the Store has done so already, in the transaction that made the batch leasable. */
  async function offer(batch: Batch): Promise<void> {
    if (!deployment.isShared && isActive(batch.status)) await works?.offer(batch);
  }
}

/** The adapters of a cluster come with optional packages: they are loaded where they are asked for. */
async function openDeployment(options: ResolvedOptions, place: DeploymentOptions): Promise<Deployment> {
  const { database } = options;
  if (database === null) return await openEmbedded(options, place);
  const { openCluster } = await import('./deploy/cluster.ts');
  return await openCluster({ ...options, database }, place);
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new SheafError('bad_config', `The folder ${folder} cannot be made: ${what}.`, {}, error);
  }
}

/** The version of this installation. */
const VERSION: string = manifest.version;

const NO_RECOVERY: RecoveryReport = { leases: 0, recovered: [], interrupted: [], poisoned: 0 };

function processorsOf({ processors, packs }: ResolvedOptions): Registry<Processor> {
  const all = [probe, defineHttp(), ...packs.flatMap((pack) => pack.processors), ...processors];
  return createRegistry(
    'processor',
    all.map((processor) => [processor.name, processor] as const),
  );
}

function templatesOf({ packs }: ResolvedOptions): Registry<PackTemplate> {
  const all = packs.flatMap((pack) => pack.templates);
  return createRegistry(
    'template',
    all.map((template) => [template.id, template] as const),
  );
}

/** Each processor runs where it asks to: in this process, or in children. */
function createRunner(concurrency: number): Runner {
  const inline = createInlineRunner();
  const children = createProcessRunner({ max_children: concurrency });
  return {
    run: (task, news) => (task.processor.isolation === 'inline' ? inline : children).run(task, news),
    runRow: (tasks, caller) => children.runRow(tasks, caller),
    async close() {
      await Promise.all([inline.close(), children.close()]);
    },
  };
}

function describe(processor: Processor): ProcessorInfo {
  const { name, version, description, isolation, idempotent, pool } = processor;
  return {
    name,
    version,
    description,
    isolation,
    idempotent,
    pool,
    config_schema: schemaOf(name, processor.config),
    input_schema: schemaOf(name, processor.input),
  };
}

function schemaOf(name: string, schema: z.ZodType): ProcessorInfo['config_schema'] {
  try {
    return JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })));
  } catch (error) {
    throw new SheafError(
      'bad_config',
      `The schema of the processor ${name} has no JSON Schema form.`,
      {},
      error,
    );
  }
}
