import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { insertItems, openBareDatabase } from '../bare-database.ts';
import { type Bench, limitLine, shareLine } from '../bench.ts';
import { IN_FLIGHT, inputOf } from '../nothing.ts';
import { call, startServer } from '../server.ts';

/** Lines one piece of the body holds: a client that reads a file sends pieces of about this size. */
const LINES_A_PIECE = 1_000;

const MEMORY_LIMIT_MB = 300;

/** A million lines through the real server, and its memory until the last of them is done. */
export const intakeBench: Bench = {
  name: 'intake',
  about: 'items from NDJSON through HTTP, and the server’s memory until all are done',
  size: { full: 1_000_000, quick: 100_000 },
  rounds: { full: 3, quick: 1 },
  sides: {
    async raw({ size, folder }) {
      const database = openBareDatabase(folder);
      const from = performance.now();
      insertItems(database, inputs(size));
      return { rate: size / ((performance.now() - from) / 1000) };
    },
    ours: intakeOurs,
  },
  judge: (median) => [
    shareLine({
      label: 'intake',
      ours: median('ours', 'rate'),
      other: { name: 'raw', rate: median('raw', 'rate') },
      floor_percent: 15,
    }),
    limitLine({
      label: 'server memory, peak',
      value: median('ours', 'rss_bytes') / 1e6,
      limit: MEMORY_LIMIT_MB,
      unit: 'MB',
    }),
  ],
};

type Batch = { id: string; status: string; total_items: number; completed_items: number };

async function intakeOurs({ size, folder }: { size: number; folder: string }) {
  const processors = join(import.meta.dirname, '..', 'processors.ts');
  const server = await startServer({ folder, processors, concurrency: IN_FLIGHT });
  const batches = `${server.url}/api/batches`;
  const { id } = await call<Batch>(batches, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ processor: 'bench.noop', concurrency: IN_FLIGHT }),
  });
  const startBytes = server.peakMemory();
  const from = performance.now();
  await call(`${batches}/${id}/items`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: body(size),
    duplex: 'half',
  });
  const rate = size / ((performance.now() - from) / 1000);
  const intakeBytes = server.peakMemory();
  await call(`${batches}/${id}/start`, { method: 'POST' });
  let batch = await call<Batch>(`${batches}/${id}`);
  while (batch.status === 'queued' || batch.status === 'running') {
    await sleep(250);
    batch = await call<Batch>(`${batches}/${id}`);
  }
  const rssBytes = server.peakMemory();
  await server.close();
  if (batch.completed_items !== size)
    throw new Error(`${batch.completed_items} of ${size} items were completed.`);
  return { rate, start_rss_bytes: startBytes, intake_rss_bytes: intakeBytes, rss_bytes: rssBytes };
}

function body(size: number): ReadableStream {
  return ReadableStream.from(pieces(size));
}

function* pieces(size: number): Generator<Uint8Array> {
  for (let first = 1; first <= size; first += LINES_A_PIECE) {
    let text = '';
    for (let n = first; n < first + LINES_A_PIECE && n <= size; n += 1) {
      text += `{"input":${JSON.stringify(inputOf(n))}}\n`;
    }
    yield Buffer.from(text);
  }
}

function* inputs(size: number): Generator<string> {
  for (let n = 1; n <= size; n += 1) yield JSON.stringify(inputOf(n));
}
