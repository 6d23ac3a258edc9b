import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorCode, type ProcessorInfo, SheafError, type Template } from '@sheaf/protocol';
import { z } from 'zod';
import { createLocalDispatch } from './adapters/dispatch-local/local-dispatch.ts';
import { createLocalEvents } from './adapters/events-local/local-events.ts';
import { createDiskFiles } from './adapters/files-disk/disk-files.ts';
import { holdGuard } from './adapters/guard/guard.ts';
import { createInlineRunner } from './adapters/runner-inline/inline-runner.ts';
import { createProcessRunner } from './adapters/runner-process/process-runner.ts';
import { openThreadedSqliteStore } from './adapters/store-sql/threaded.ts';
import type { Engine, RecoveryReport } from './api.ts';
import { createRegistry, type Registry } from './domain/registry.ts';
import { type EngineOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import type { Chance, Clock } from './ports/clock.ts';
import type { PackTemplate, Processor } from './ports/processor.ts';
import type { Runner } from './ports/runner.ts';
import type { Store } from './ports/store.ts';
import { defineHttp } from './processors/http/http.ts';
import { probe } from './processors/probe/probe.ts';
import { createControl } from './runtime/control.ts';
import { type DiskGuard, startDiskGuard } from './runtime/disk.ts';
import { createIntake } from './runtime/intake.ts';
import { createPulses } from './runtime/pulse.ts';
import { createRecorder } from './runtime/recorder.ts';
import { createRecords } from './runtime/records.ts';
import { createSlots } from './runtime/slots.ts';
import { watchFiles, watchStore } from './runtime/storage-watch.ts';
import { startSweep } from './runtime/sweep.ts';
import { createUploads } from './runtime/uploads.ts';
import { createViews } from './runtime/views.ts';
import { startWorker, type Worker } from './runtime/worker.ts';

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
  const clock: Clock = { now: () => Date.now() };
  const chance: Chance = { random: () => Math.random(), bytes: (count) => randomBytes(count) };
  const processors = processorsOf(options);
  const templates = templatesOf(options);
  const workDir = join(folder, 'work');
  await rm(workDir, { recursive: true, force: true });

  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const watch = { onFailed, onFull: () => void disk?.onFull().catch(options.onError) };
  const store = watchStore(await openStore(join(folder, 'sheaf.db'), options.work), watch);
  opened.defer(() => store.close());
  const files = watchFiles(createDiskFiles({ root: join(folder, 'files') }), watch);
  const events = createLocalEvents();
  const dispatch = createLocalDispatch();
  const pulses = createPulses({ events, clock });
  opened.defer(() => pulses.close());
  const uploads = createUploads({ store, files, clock, chance });
  const intake = createIntake({ store, uploads, clock, chance, processors, templates });
  store.onEvents((space, stored) => {
    for (const event of stored) events.publish(space, event);
  });

  let disk: DiskGuard | null = null;
  let worker: Worker | null = null;
  const recovery = options.work ? await startWorks() : NO_RECOVERY;
  const control = createControl({ store, dispatch, clock, chance, intake, processors, worker });
  const views = createViews({ store, events, pulses, worker });

  async function startWorks() {
    const recovery = await store.recover({
      boot,
      alone: true,
      review: processors
        .all()
        .filter((processor) => !processor.idempotent)
        .map((processor) => processor.name),
      policy: options.recovery,
      now: clock.now(),
    });
    const runner = createRunner(options.concurrency);
    opened.defer(() => runner.close());
    const sweep = startSweep({
      store,
      dispatch,
      files,
      clock,
      retention_days: options.retention_days,
      isPinned: uploads.isPinned,
      renewOwn: async () => worker?.refresh(),
      onError,
    });
    opened.defer(() => sweep.close());
    disk = await startDiskGuard({
      store,
      clock,
      data_dir: folder,
      onResumed: () => sweep.now(),
      onError: onDiskError,
    });
    opened.defer(() => disk?.close());
    const recorder = createRecorder({ store, clock, onStorageFull: async () => disk?.onFull() });
    worker = startWorker({
      store,
      dispatch,
      clock,
      boot,
      tools: {
        runner,
        recorder,
        files,
        clock,
        chance,
        slots: createSlots(options.concurrency),
        work_dir: workDir,
        onDiskFull: async () => (await disk?.isFullAfterAll()) ?? false,
        onPulse: pulses.beat,
        onNews: (batch, item, news) => pulses.news(batch.id, batch.space, item, news),
      },
      findProcessor: (name) => processors.find(name),
      serves: processors.all().map(({ name, version }) => ({ name, major: version.split('.')[0] ?? '' })),
      async onTurnEnd(turn, { goesOn, next_ready_at }) {
        if (goesOn) await dispatch.offer([turn]);
        else if (next_ready_at !== null) sweep.wakeAt(next_ready_at);
      },
      onError,
    });
    opened.defer(() => worker?.close(0));
    await sweep.now();
    return recovery;
  }

  function onError(error: unknown): void {
    const code = errorCode(error);
    // Told once, by the watch and by the disk guard, not by everybody who meets them.
    if (code === 'storage_failed' || (code === 'storage_full' && disk !== null)) return;
    options.onError(error);
  }

  function onDiskError(error: unknown): void {
    if (errorCode(error) !== 'storage_failed') options.onError(error);
  }

  /** The disk did not keep a write: nothing more is done here, so that nothing is lost. */
  function onFailed(error: unknown): void {
    failure.reject(error);
    options.onError(error);
    void worker?.close(0).catch(options.onError);
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
      disk?.refuseWhenFull();
      const answer = await intake.create(batch, who);
      await offer(answer.batch);
      return answer;
    },
    async append(target, items) {
      disk?.refuseWhenFull();
      const answer = await intake.append(target, items);
      await offer(answer.batch);
      return answer;
    },
    async upload(source, { space = 'default', name, media_type, max_bytes }) {
      disk?.refuseWhenFull();
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
    recovery,
    about: () => store.about(),
    checkInvariants: () => store.checkInvariants(),
    failed: failure.promise,
    async close({ drain_ms = options.drain_ms } = {}) {
      closing ??= close(drain_ms);
      if (drain_ms === 0) worker?.cutOff();
      await closing;
    },
  };

  async function offer(batch: { id: string; status: string; priority: number }): Promise<void> {
    if (batch.status !== 'queued' && batch.status !== 'running') return;
    await dispatch.offer([{ batch_id: batch.id, n: 1, priority: batch.priority }]);
  }
}

/**
 * With threads of its own where items run: a slow disk must not hold up their heartbeats. Who only
 * looks has none to hold up, and would wait for two threads to start.
 */
async function openStore(file: string, work: boolean): Promise<Store> {
  if (work) return await openThreadedSqliteStore({ file });
  // Imported here: else it would be loaded in vain beside the threads, which load their own.
  const { openSqliteStore } = await import('./adapters/store-sql/sqlite.ts');
  return await openSqliteStore({ file });
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new SheafError('bad_config', `The folder ${folder} cannot be made: ${what}.`, {}, error);
  }
}

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
  const { name, version, description, isolation, idempotent } = processor;
  return {
    name,
    version,
    description,
    isolation,
    idempotent,
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
