import { hostname } from 'node:os';
import { errorCode, SheafError } from '@sheaf/protocol';
import type { RecoveryReport } from '../api.ts';
import type { Registry } from '../domain/registry.ts';
import { turnsOf } from '../domain/turns.ts';
import type { Chance, Clock } from '../ports/clock.ts';
import type { Dispatch } from '../ports/dispatch.ts';
import type { Files } from '../ports/files.ts';
import type { Processor } from '../ports/processor.ts';
import type { Runner } from '../ports/runner.ts';
import type { Store } from '../ports/store.ts';
import { type DiskGuard, startDiskGuard } from './disk.ts';
import { createKeepOutputs } from './keep-outputs.ts';
import { type Presence, startPresence } from './presence.ts';
import type { Pulses } from './pulse.ts';
import { createRecorder } from './recorder.ts';
import { createSlots } from './slots.ts';
import { type Sweep, startSweep } from './sweep.ts';
import { startWorker, type Worker } from './worker.ts';

/** A Store that stays away is complained of this often. */
const SAY_AGAIN_MS = 10_000;

/** All that works in a process: it takes turns, sweeps, and says that it lives. */
export type Works = {
  worker: Worker;
  /** Null in a cluster: the disk that counts is the database's. */
  disk: DiskGuard | null;
  /** What was found and done at the start. */
  recovery: RecoveryReport;
  /** Told by the Store's and the Files' watch, in whatever call the disk was found full. */
  onFullDisk(): Promise<void>;
  /** Turns for a batch that can be leased, one for each worker that could help. */
  offer(batch: { id: string; processor: string; priority: number; concurrency: number }): Promise<void>;
};

export type WorksOptions = {
  store: Store;
  dispatch: Dispatch;
  files: Files;
  clock: Clock;
  chance: Chance;
  runner: Runner;
  processors: Registry<Processor>;
  pulses: Pulses;
  /** Names this start of the process among all others. */
  boot: string;
  /** The program's. */
  version: string;
  /** The engine's own folder. */
  folder: string;
  work_dir: string;
  /** Whether other processes work on the same Store. */
  isShared: boolean;
  pools: readonly string[];
  concurrency: number;
  recovery: 'resume' | 'review' | null;
  retention_days: number;
  onError: (error: unknown) => void;
  /** What is started is ended again, last started first. */
  opened: AsyncDisposableStack;
};

/** Starts the works. When it resolves, whatever a crash interrupted has been found. */
export async function startWorks(options: WorksOptions): Promise<Works> {
  const { store, dispatch, files, clock, runner, processors, pulses, boot, opened } = options;
  const startedAt = clock.now();
  let worker: Worker | null = null;
  let disk: DiskGuard | null = null;
  const toldAt = new Map<string, number>();

  const recover = (alone: boolean) =>
    store.recover({
      boot,
      alone,
      review: processors
        .all()
        .filter((processor) => !processor.idempotent)
        .map((processor) => processor.name),
      policy: options.recovery,
      now: clock.now(),
    });
  const recovery = await recover(!options.isShared);

  const slots = createSlots(options.concurrency);
  const presence: Presence = await startPresence({
    store,
    clock,
    describe: () => ({
      boot,
      name: `${hostname()}:${process.pid}`,
      pools: [...options.pools],
      processors: processors.all().map(({ name, version }) => ({ name, version })),
      version: options.version,
      concurrency: slots.total,
      running: slots.total - slots.free,
      started_at: startedAt,
    }),
    onError,
  });
  opened.defer(() => presence.close().catch(onError));

  const sweep: Sweep = startSweep({
    store,
    dispatch,
    files,
    clock,
    retention_days: options.retention_days,
    renewOwn: async () => worker?.refresh(),
    recoverLost: async () => {
      if (options.isShared) await recover(false);
    },
    workers: () => presence.workers,
    onError,
  });
  opened.defer(() => sweep.close());

  if (!options.isShared) {
    disk = await startDiskGuard({
      store,
      clock,
      data_dir: options.folder,
      onResumed: () => sweep.now(),
      onError: (error) => {
        if (errorCode(error) !== 'storage_failed') options.onError(error);
      },
    });
    opened.defer(() => disk?.close());
  }

  const recorder = createRecorder({ store, files, clock, onStorageFull: onFullDisk });
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
      chance: options.chance,
      slots,
      work_dir: options.work_dir,
      keepOutputs: createKeepOutputs({
        files,
        clock,
        chance: options.chance,
        onDiskFull,
        onNoRoom: sayNowAndThen,
      }),
      onDiskFull,
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
  const works: Works = {
    worker,
    disk,
    recovery,
    onFullDisk,
    offer: ({ id, processor, priority, concurrency }) => {
      const pool = processors.find(processor)?.pool ?? 'default';
      return dispatch.offer(turnsOf({ batch_id: id, priority, concurrency, pool }, presence.workers));
    },
  };
  opened.defer(() => works.worker.close(0));
  await sweep.now();
  return works;

  async function onDiskFull(): Promise<boolean> {
    return (await disk?.isFullAfterAll()) ?? false;
  }

  /** In a cluster it is the disk of the database: what has run waits for room there, and others are told why. */
  async function onFullDisk(): Promise<void> {
    if (options.isShared) {
      onError(
        new SheafError('storage_full', 'The disk of the database is full; make room and work goes on.'),
      );
    } else {
      await disk?.onFull();
    }
  }

  function onError(error: unknown): void {
    const code = errorCode(error);
    // Told once, by the watch and by the disk guard, not by everybody who meets them.
    if (code === 'storage_failed' || (code === 'storage_full' && disk !== null)) return;
    // Everything that looks at the Store meets these, several times a second.
    if (code === 'store_unavailable' || code === 'storage_full') sayNowAndThen(error);
    else options.onError(error);
  }

  function sayNowAndThen(error: unknown): void {
    const code = errorCode(error) ?? '';
    if (performance.now() - (toldAt.get(code) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN_MS) return;
    toldAt.set(code, performance.now());
    options.onError(error);
  }
}
