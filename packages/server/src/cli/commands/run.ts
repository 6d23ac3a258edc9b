import { join } from 'node:path';
import { type Batch, type CreateBatch, isFinal, type Wire } from '@sheaf/protocol';
import type { Call } from '../command.ts';
import { type Connection, withConnection } from '../connect.ts';
import { answer, type Context, note, say } from '../context.ts';
import { type Downloaded, downloadOutputs, freeFolder, writeFailure } from '../download.ts';
import { failure } from '../failure.ts';
import { exitCode, exitCodeAfter, follow } from '../follow.ts';
import { collectFiles, type InputFile, linesHint, nameFor } from '../inputs.ts';
import { type Lines, linesFromInput, linesFromManifest } from '../lines.ts';
import { type BatchFlags, batchFrom, whatRuns } from '../new-batch.ts';
import { isProcessorFile, loadProcessor } from '../processor-file.ts';
import { shortId } from '../resolve.ts';
import { safeName } from '../safe-name.ts';
import { sayEnding } from '../summary.ts';
import { type UploadState, uploadFiles } from '../upload.ts';
import { clean } from '../view/clean.ts';
import { bytes, count, plural, shellWord } from '../view/format.ts';
import { openWorkView, type WorkView } from '../view/work-view.ts';
import { against } from '../watch.ts';

export type RunFlags = BatchFlags & {
  manifest?: string;
  out?: string;
  detach?: boolean;
  idempotencyKey?: string;
};

type RunHow = Pick<RunFlags, 'out' | 'detach' | 'idempotencyKey'> & {
  /** False where the caller says itself what to do next. @default true */
  has_next?: boolean;
  /** The paths as they were typed, to be typed again. */
  paths?: readonly string[];
};

/** Where a batch's items come from: files to upload, or lines of JSON. */
export type Source = { files: InputFile[]; bytes: number } | { lines: Lines };

/** `sheaf run`: makes a batch, uploads, follows it to its end and fetches what came out. */
export async function run({ context, args, options }: Call<RunFlags>): Promise<number> {
  const [word = '', ...paths] = args;
  const wanted = batchFrom(options);
  const source = await openSource(paths, options.manifest);
  const processors = isProcessorFile(word) ? [await loadProcessor(word)] : [];
  return await withConnection(context, { work: true, missing: 'make', processors }, async (connection) => {
    if (options.detach && connection.own !== null) throw noServer();
    const [own] = processors;
    const runs = await whatRuns(connection.client, own?.name ?? word).catch((error) => {
      throw own !== undefined && connection.own === null ? notThere(own.name, word, connection) : error;
    });
    const name = options.name ?? nameFor(paths, own?.name ?? word);
    const batch = { ...wanted, ...runs, name };
    const hint = 'files' in source ? linesHint(paths, source.files) : null;
    if (hint !== null) note(context, hint);
    return await runBatch(context, connection, { batch, source, flags: { ...options, paths } });
  });
}

/** Makes the batch and sees it through. Used by `demo` too. */
export async function runBatch(
  context: Context,
  connection: Connection,
  work: { batch: CreateBatch; source: Source; flags: RunHow },
): Promise<number> {
  const { client } = connection;
  const { source, flags } = work;
  const key = flags.idempotencyKey;
  const isFiles = 'files' in source;
  const { batch: made, created } = await client.create(
    // Open while files come in, so that it does not end between two lots.
    { ...work.batch, start: false, open: isFiles },
    key === undefined ? {} : { idempotency_key: key },
  );
  const view = openWorkView(context, { footer: footer(connection) });
  let uploaded = made.total_items;
  const send = (signal?: AbortSignal) =>
    sendItems(connection, {
      batch: made,
      source,
      isNew: created,
      signal,
      onState(state) {
        uploaded = state.files;
        view.upload(state);
      },
    });
  try {
    if (!flags.detach) await sayHeader(context, connection, made, source, view);
    if (!created) view.log('This key made the batch before; going on with it.');
    if (flags.detach || !isFiles) await send();
    if (flags.detach) return await sayDetached(context, connection, made.id);
    const expected = isFiles ? source.files.length : 0;
    const followed = await follow(connection, made.id, {
      view: { ...view, show: (snapshot) => view.show(against(snapshot, expected)) },
      until_still: true,
      ...(context.progress !== 'live' && { gap_ms: 500 }),
      ...(isFiles && { beside: send }),
    });
    const { snapshot, ended_by } = followed;
    if (ended_by !== null || snapshot === null) {
      view.close();
      const known = Math.max(uploaded, snapshot?.batch.total_items ?? 0);
      sayStopped(context, connection, { batchId: made.id, known, source, paths: flags.paths ?? [] });
      return exitCodeAfter(followed);
    }
    const { batch, causes } = snapshot;
    const downloaded = isFinal(batch.status)
      ? await fetchAll(connection, batch, source, flags.out, view)
      : null;
    view.close();
    const { has_next = true } = flags;
    sayEnding(context, { batch, causes, downloaded, reference: '@last', has_next }, view);
    answer(context, { ...batch, causes, outputs: downloaded && outputsOf(downloaded) });
    return exitCode(batch);
  } finally {
    view.close();
  }
}

function outputsOf({ dir, files, bytes: size, kept }: Downloaded) {
  return { dir, files, bytes: size, kept };
}

async function openSource(paths: readonly string[], manifest: string | undefined): Promise<Source> {
  if (manifest !== undefined) {
    if (paths.length > 0) throw failure('usage', 'give paths or --manifest, not both');
    return { lines: await linesFromManifest(manifest) };
  }
  if (paths.includes('-')) {
    if (paths.length > 1) throw failure('usage', '- stands for standard input and goes alone');
    return { lines: await linesFromInput(process.stdin) };
  }
  if (paths.length === 0) {
    throw failure(
      'no_input',
      'nothing to work on',
      'name files or a folder, - for JSON lines on standard input, or --manifest FILE.jsonl',
    );
  }
  return await collectFiles(paths);
}

type Sending = {
  batch: Wire<Batch>;
  source: Source;
  /** Whether this call made the batch; else it goes on with what another one began. */
  isNew: boolean;
  onState: (state: UploadState) => void;
  signal: AbortSignal | undefined;
};

/** Brings the items in and starts the batch: with the first lot of files, or when all lines are there. */
async function sendItems({ client }: Connection, sending: Sending): Promise<void> {
  const { batch, source, isNew, onState, signal } = sending;
  if (!isNew && batch.status !== 'draft' && !batch.open) return;
  if ('lines' in source) {
    try {
      await client.addLines(batch.id, source.lines.body, signal === undefined ? {} : { signal });
    } catch (error) {
      // All or nothing: a draft with some of the lines is of no use to anybody.
      if (isNew) await client.delete(batch.id).catch(() => undefined);
      throw error;
    }
    await client.start(batch.id);
    return;
  }
  let isStarted = batch.status !== 'draft';
  const start = async () => {
    if (!isStarted) await client.start(batch.id);
    isStarted = true;
  };
  await uploadFiles(client, batch.id, source.files, {
    from: Math.min(batch.total_items, source.files.length),
    onState,
    onLot: start,
    ...(signal !== undefined && { signal }),
  });
  await start();
  await client.seal(batch.id);
}

async function fetchAll(
  { client }: Connection,
  batch: Wire<Batch>,
  source: Source,
  out: string | undefined,
  view: WorkView,
): Promise<Downloaded> {
  const dir = out ?? (await freeFolder(join('.', `${safeName(batch.name)}-out`)));
  const folders = 'files' in source ? source.files.map(({ folder }) => folder) : [];
  try {
    const downloaded = await downloadOutputs(client, batch.id, {
      dir,
      // Items have the order in which their files were sent.
      folderOf: (seq) => folders[seq - 1] ?? '',
      onState: (files, size) => view.fetching(files, size, false),
    });
    if (downloaded.files > 0) view.fetching(downloaded.files, downloaded.bytes, true);
    return downloaded;
  } catch (error) {
    throw writeFailure(error, dir);
  }
}

function footer(connection: Connection): string {
  return connection.own === null
    ? '^C stops watching; the batch goes on. Again: sheaf status @last -w'
    : '^C finishes what runs and stops; the batch is kept. Again: sheaf resume @last';
}

async function sayHeader(
  context: Context,
  { client }: Connection,
  batch: Wire<Batch>,
  source: Source,
  view: WorkView,
): Promise<void> {
  const size = 'files' in source ? ` · ${plural(source.files.length, 'item')} · ${bytes(source.bytes)}` : '';
  if (context.progress === 'live') {
    const id = await shortId(client, batch.id);
    view.log(`${context.terminal.paint('bold', `Batch "${clean(batch.name)}"`)} ${id}${size}`);
  } else if (context.progress === 'plain') {
    const items = 'files' in source ? ` items=${source.files.length}` : '';
    view.log(`created ${batch.id} ${JSON.stringify(clean(batch.name))}${items}`);
  }
}

async function sayDetached(context: Context, { client }: Connection, batchId: string): Promise<number> {
  const batch = await client.get(batchId);
  if (context.quiet) context.terminal.out(batch.id);
  say(context, `Batch "${clean(batch.name)}" ${batch.id} · ${plural(batch.total_items, 'item')}`);
  say(context, `It goes on by itself. Watch: sheaf status @last -w`);
  answer(context, { ...batch });
  return 0;
}

/** After ^C: what is in, and how to go on. */
function sayStopped(
  context: Context,
  { own }: Connection,
  stopped: { batchId: string; known: number; source: Source; paths: readonly string[] },
): void {
  const { batchId, known } = stopped;
  const all = 'files' in stopped.source ? stopped.source.files.length : 0;
  if (known < all) {
    const paths = stopped.paths.map(shellWord).join(' ');
    note(context, `Stopped: of ${plural(all, 'file')}, at least ${count(known)} are in.`);
    note(
      context,
      `Bring the rest: sheaf add ${batchId} ${paths} --rest   Run it as it is: sheaf seal ${batchId}`,
    );
    return;
  }
  note(
    context,
    own === null
      ? 'Stopped watching; the batch goes on. Again: sheaf status @last -w'
      : 'Stopped; the batch is kept. Go on: sheaf resume @last, or sheaf up',
  );
}

function noServer() {
  return failure(
    'unreachable',
    '--detach needs a server that goes on with the batch',
    'start one with  sheaf up, or leave --detach out',
  );
}

function notThere(name: string, word: string, { client }: Connection) {
  return failure(
    'unknown_processor',
    `the server at ${client.url} does not have the processor "${name}"`,
    `start it with  sheaf up --processor ${word}`,
  );
}
