import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFiles } from './processors.ts';
import { makePlace, type Place, until } from './sheaf.ts';

let place: Place;

beforeEach(() => {
  place = makePlace();
  writeFiles(place.dir);
});

afterEach(() => place.close());

type View = {
  status: string;
  total_items: number;
  pending_items: number;
  running_items: number;
  completed_items: number;
  failed_items: number;
};

async function view(batch: string): Promise<View> {
  return JSON.parse((await place.sheaf(['status', batch, '--json'])).stdout);
}

const numbers = (count: number) => '{"input":1}\n'.repeat(count);

describe('kill -9 of a run that works in its own process', () => {
  it('leaves a whole batch, which the next server finishes', async () => {
    const running = place.start(['run', 'probe', '-', '-n', 'killed', '-p', 'wait_ms=50'], {
      input: numbers(400),
    });
    await until(() => / running \d+\/400 [1-9]/.test(running.stdout()), running.stdout);
    running.kill('SIGKILL');
    await running.ended;

    const left = await view('killed');
    expect(left).toMatchObject({ status: 'running', total_items: 400, failed_items: 0 });
    expect(left.pending_items + left.running_items + left.completed_items).toBe(400);
    expect(left.completed_items).toBeGreaterThan(0);

    const server = await place.up();
    const said = 'The last server ended in the middle of its work: 1 batch goes on where it was.';
    await until(() => server.stdout().includes(said), server.stdout);
    const waited = await place.sheaf(['wait', 'killed', '--timeout', '60s']);
    expect(waited.code).toBe(0);
    expect(await view('killed')).toMatchObject({
      status: 'completed',
      completed_items: 400,
      failed_items: 0,
    });
  });

  it('is taken up again by resume, without a server', async () => {
    const running = place.start(['run', 'probe', '-', '-n', 'killed', '-p', 'wait_ms=50'], {
      input: numbers(200),
    });
    await until(() => / running \d+\/200 [1-9]/.test(running.stdout()), running.stdout);
    running.kill('SIGKILL');
    await running.ended;
    const resumed = await place.sheaf(['resume', 'killed']);
    expect(resumed.stdout).toMatch(/ completed completed=200 failed=0 /);
    expect(resumed.code).toBe(0);
  });

  it('in the middle of an upload: the same key goes on with what is missing, no file twice', async () => {
    mkdirSync(join(place.dir, 'many'));
    for (let number = 0; number < 1_000; number++) {
      writeFileSync(join(place.dir, 'many', `${number}.txt`), 'x'.repeat(20_000) + number);
    }
    const args = ['run', './processors.ts#copy', 'many', '--idempotency-key', 'once', '--out', 'many-out'];
    const running = place.start(args);
    // The first items run, so the first lot is in; most of the others are not.
    await until(() => / running \d+\/\d+ /.test(running.stdout()), running.stdout);
    running.kill('SIGKILL');
    await running.ended;
    const left = await view('many');
    expect(left.total_items).toBeGreaterThan(0);

    const again = await place.sheaf(args);
    expect(again.stdout).toContain('This key made the batch before');
    expect(again.code).toBe(0);
    const { total_items, completed_items } = await view('many');
    expect({ total_items, completed_items }).toEqual({ total_items: 1_000, completed_items: 1_000 });
    const { stdout } = await place.sheaf(['items', 'many', '--jsonl', '--all']);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).name);
    expect(new Set(names).size).toBe(1_000);
  });

  it('of a server: the next one takes the folder at once', async () => {
    const server = await place.up();
    server.kill('SIGKILL');
    await server.ended;
    const looked = await place.sheaf(['list']);
    expect(looked.stdout).toContain('No batches yet.');
    const next = place.start(['up', '--port', '0']);
    await until(() => next.stdout().includes('Listens'), next.stderr);
  });
});
