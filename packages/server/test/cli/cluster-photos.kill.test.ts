import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describePostgres, openTemporaryBucket } from '@sheaf/engine/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { canMakeNetworks, makeNetwork, type Network } from './network.ts';
import { makePlace, type Place, until } from './sheaf.ts';

const SAMPLES = join(import.meta.dirname, '..', '..', '..', 'packs', 'samples', 'photos');
const COPIES = 4;

const hasNetworks = canMakeNetworks();
if (!hasNetworks) console.warn('Workers share the network of this machine: it lets us make no other.');

describePostgres('photographs on two workers that share nothing but a database and a bucket', (postgres) => {
  let place: Place;
  let bucket: Awaited<ReturnType<typeof openTemporaryBucket>>;
  const networks: Network[] = [];

  beforeEach(async () => {
    place = makePlace();
    bucket = await openTemporaryBucket();
  });

  afterEach(async () => {
    await place.close();
    for (const network of networks.splice(0)) await network.close();
    await bucket.close();
  });

  it('are developed by both, and every output comes back whole', { timeout: 120_000 }, async () => {
    const { access_key_id: key, secret_access_key: secret } = bucket.credentials;
    const env = {
      SHEAF_DATABASE: await postgres.database(),
      SHEAF_FILES: bucket.url,
      AWS_ACCESS_KEY_ID: key,
      AWS_SECRET_ACCESS_KEY: secret,
    };
    const photos = join(place.dir, 'photos');
    const names = copySamples(photos);
    // The server takes no turns: what is done is done by the workers.
    const server = place.start(['up', '--port', '0', '--pools', 'nobody'], { env });
    await until(() => server.stdout().includes('Listens'), server.stderr, 30_000);
    const url = /http:\S+/.exec(server.stdout())?.[0] ?? '';
    for (const name of ['one', 'two']) {
      const network = hasNetworks ? await networkOf(name, [env.SHEAF_DATABASE, bucket.endpoint]) : undefined;
      const reached = [url, bucket.endpoint].map((to) => network?.reaches(portOf(to)));
      if (hasNetworks) expect(reached, 'the server, the bucket').toEqual([false, true]);
      const worker = place.start(['worker', '--concurrency', '1', '--data-dir', name], { env, network });
      await until(() => worker.stdout().includes('^C stops safely'), worker.stderr, 30_000);
    }
    const run = place.start(
      ['run', 'photos.develop', photos, '-p', 'preset=WhiteLayer_v4', '--concurrency', '2', '--out', 'out'],
      { env },
    );
    const busy = new Set<string>();
    await until(
      async () => {
        const { data } = (await (await fetch(`${url}/api/workers`)).json()) as { data: Worker[] };
        for (const { boot, running } of data) if (running > 0) busy.add(boot);
        return busy.size === 2;
      },
      () => `${busy.size} have been at work: ${run.stderr()}`,
      60_000,
    );
    const { code, stdout, stderr } = await run.ended;
    // The broken photograph fails on whatever machine.
    expect(code, stderr).toBe(3);
    expect(stdout).toContain(`completed=${names.length - COPIES} failed=${COPIES}`);
    const outputs = readdirSync(join(place.dir, 'out')).filter((name) => /\.jpe?g$/i.test(name));
    expect(outputs).toHaveLength(names.length - COPIES);
    // Copies of one photograph were developed on different machines, to the same bytes.
    const sums = new Set(outputs.map((name) => sumOf(join(place.dir, 'out', name))));
    expect(sums.size).toBe(names.length / COPIES - 1);
    for (const name of outputs) expect(isWhole(join(place.dir, 'out', name)), name).toBe(true);
  });

  /** From which nothing can be reached but these addresses. */
  async function networkOf(name: string, urls: readonly string[]): Promise<Network> {
    const ways = join(place.dir, `ways-${name}`);
    mkdirSync(ways);
    const network = await makeNetwork(ways, urls.map(portOf));
    networks.push(network);
    return network;
  }
});

type Worker = { boot: string; running: number };

function portOf(url: string): number {
  return Number(new URL(url).port);
}

function copySamples(folder: string): string[] {
  mkdirSync(folder);
  const names = readdirSync(SAMPLES).flatMap((name) =>
    Array.from({ length: COPIES }, (_, copy) => {
      const own = `${copy}-${name}`;
      copyFileSync(join(SAMPLES, name), join(folder, own));
      return own;
    }),
  );
  return names;
}

function sumOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** A JPEG begins and ends with its marks. */
function isWhole(path: string): boolean {
  const bytes = readFileSync(path);
  return bytes.readUInt16BE(0) === 0xff_d8 && bytes.readUInt16BE(bytes.length - 2) === 0xff_d9;
}
