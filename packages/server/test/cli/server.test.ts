import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createClient } from '@sheaf/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFiles } from './processors.ts';
import { makePlace, type Place, type Running, until } from './sheaf.ts';

// Each case runs whole processes, and others may run beside.
vi.setConfig({ testTimeout: 60_000 });

let place: Place;
let server: Running & { url: string };

beforeAll(async () => {
  place = makePlace();
  writeFiles(place.dir);
  server = await place.up('--processor', './processors.ts');
});

afterAll(() => place.close());

const lines = (count: number) => Array.from({ length: count }, (_, index) => `{"input":${index}}`).join('\n');

describe('sheaf up', () => {
  it('says what is there, and announces itself in the folder', async () => {
    await until(() => server.stdout().includes('^C stops safely'));
    expect(server.stdout()).toMatch(
      /✓ Node 24\.\S+ · SQLite \S+ \(WAL, synchronous FULL\) · disk \d+ % free · fsync \S+ ms/,
    );
    expect(server.stdout()).toContain('Data in ./sheaf-data (new)');
    expect(server.stdout()).toContain(server.url);
    const announced = JSON.parse(readFileSync(join(place.data, 'server.json'), 'utf8'));
    expect(announced).toEqual({
      url: server.url,
      pid: server.pid,
      started_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
  });

  it('is refused a second time on the same folder, and the first one is named', async () => {
    const { code, stderr } = await place.sheaf(['up', '--port', '0']);
    expect(stderr).toMatch(
      new RegExp(
        `^error: the data folder ./sheaf-data is in use by ${server.url} \\(process ${server.pid}, `,
      ),
    );
    expect(code).toBe(9);
  });

  it('is refused a port that is taken, in one line with the remedy', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await until(() => other.listening);
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { code, stderr } = await place.sheaf(['up', '--data', 'other', '--port', String(port)]);
    other.close();
    expect(stderr).toBe(
      `error: cannot listen on 127.0.0.1:${port} (another program has it)\nhint: sheaf up --port ${Number(port) + 1}, or --port 0 for any that is free\n`,
    );
    expect(code).toBe(78);
    expect(existsSync(join(place.dir, 'other', 'server.json'))).toBe(false);
  });
});

describe('commands while a server runs', () => {
  it('follows a batch of the server, with its processors', async () => {
    const { code, stdout } = await place.sheaf(['run', 'copy', 'in', '--json', '-o', 'out']);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'partially_completed', outputs: { files: 3 } });
    expect(code).toBe(3);
  });

  it('makes nothing of lines that are refused', async () => {
    const { code, stderr } = await place.sheaf(['run', 'probe', '-', '-n', 'refused'], {
      input: '{"input":1}\n{"inputs":2}\n',
    });
    expect(stderr).toMatch(/^error: Line 2: /);
    expect(code).toBe(2);
    expect((await place.sheaf(['status', 'refused'])).code).toBe(6);
  });

  it('names batches by id, by their ends, by exact name; several are listed', async () => {
    const made = await place.sheaf(['run', 'double', '-', '-n', 'numbers', '--json'], {
      input: '{"input":21}',
    });
    const { id } = JSON.parse(made.stdout);
    for (const text of [id, id.slice(0, -1), id.slice(-8), 'numbers']) {
      expect((await place.sheaf(['status', text, '--json'])).stdout).toContain(`"id": "${id}"`);
    }
    await place.sheaf(['run', 'double', '-', '-n', 'numbers', '-q'], { input: '{"input":21}' });
    const several = await place.sheaf(['status', 'numbers']);
    expect(several.stderr).toMatch(/^error: "numbers" may be 2 batches: bat_\w+ \(numbers, completed\); /);
    expect(several.code).toBe(2);
  });

  it('shows nothing that a terminal would obey, whatever an item is called', async () => {
    const made = await place.sheaf(['run', 'probe', '-', '-q', '-n', 'odd'], {
      input: '{"name":"photo\\u202egnp"}\n',
    });
    expect(made.code).toBe(0);
    expect((await place.sheaf(['items', 'odd'])).stdout).toContain('photognp');
  });

  it('fetches outputs again with download, and says so when there are none', async () => {
    expect((await place.sheaf(['download', 'in', '-o', 'out'])).stdout).toBe(
      './out: 3 files, 22 B, 2 there before\n',
    );
    expect((await place.sheaf(['download', 'in', '-o', 'anew'])).stdout).toBe('./anew: 3 files, 22 B\n');
    expect((await place.sheaf(['download', 'odd'])).stdout).toBe('There are no outputs to fetch.\n');
  });

  it('says that a file of processors is for the server', async () => {
    writeFileSync(join(place.dir, 'more.ts'), 'export const more = { name: "more", run: () => 1 };');
    const { code, stderr } = await place.sheaf(['run', './more.ts', 'in']);
    expect(stderr).toMatch(
      /the server at \S+ does not have the processor "more"\nhint: start it with {1,2}sheaf up --processor \.\/more\.ts/,
    );
    expect(code).toBe(2);
  });

  it('detaches, waits, pauses, changes the priority, resumes and cancels', async () => {
    const made = await place.sheaf(
      ['run', 'probe', '-', '-p', 'wait_ms=200', '--detach', '-q', '-n', 'long'],
      { input: lines(500) },
    );
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const id = made.stdout.trim();

    const waited = await place.sheaf(['wait', id, '--timeout', '300ms']);
    expect(waited.stderr).toMatch(/^error: 300ms are over/);
    expect(waited.code).toBe(10);

    expect((await place.sheaf(['pause', id])).stdout).toMatch(/long is paused: Paus/);
    await until(
      async () => JSON.parse((await place.sheaf(['status', id, '--json'])).stdout).running_items === 0,
    );
    expect((await place.sheaf(['status', id])).stdout).toMatch(
      /‖ Paused by \w+ .*\n.*\n.*\n {2}next: sheaf resume/,
    );
    expect((await place.sheaf(['priority', id, 'high'])).stdout).toContain('has priority 8');
    expect((await place.sheaf(['resume', id])).code).toBe(0);
    expect((await place.sheaf(['list', '--status', 'active', '-q'])).stdout).toBe(`${id}\n`);

    const cancelled = await place.sheaf(['cancel', '@active']);
    expect(cancelled.stdout).toMatch(/^⊘ long is cancelled: \d+ completed, 0 failed, \d+ not run\.\n$/);
    expect((await place.sheaf(['wait', id])).code).toBe(5);
    expect((await place.sheaf(['pause', id])).stderr).toMatch(
      /^error: .*\nhint: it is cancelled; possible now: /,
    );
  });

  it('starts no more in a time than it is told, says what it waits for, and takes another limit', async () => {
    const made = await place.sheaf(
      ['run', 'probe', '-', '--rate-limit', '3/h', '--detach', '-q', '-n', 'slow'],
      { input: lines(8) },
    );
    const shown = async () => (await place.sheaf(['status', made.stdout.trim()])).stdout;
    await until(async () => (await shown()).includes('3/8'), shown);
    const text = await shown();
    expect(text).toMatch(/^○ Waiting: At its rate limit of 3 in 1 h; goes on in 60 min\. {2}slow /);
    expect(text).toContain('\n  limit    starts up to 3 items in 1 h\n');
    const raised = await place.sheaf(['limit', 'slow', '--rate-limit', '5/h', '--concurrency', '2']);
    expect(raised.stdout).toMatch(
      /slow runs up to 2 items at the same time and starts up to 5 items in 1 h: /,
    );
    await until(async () => (await shown()).includes('5/8'), shown);
    expect((await place.sheaf(['limit', 'slow', '--rate-limit', 'none'])).stdout).toContain(
      'slow starts as many as it can: ',
    );
    expect((await place.sheaf(['wait', 'slow'])).code).toBe(0);
  });

  it('adds items to a batch and says what is nobody’s', async () => {
    const { stdout } = await place.sheaf(['add', 'in', 'in/a.txt']);
    expect(stdout).toContain('1 item added to in, which has 5 items now.');
    expect((await place.sheaf(['wait', 'in'])).code).toBe(3);
    expect((await place.sheaf(['status', 'in/9', '--json'])).code).toBe(6);
    expect((await place.sheaf(['items', 'in/99'])).stderr).toMatch(/^error: Item not found: bat_\w+\/99/);
  });

  it('shows a batch that is open for more items as waiting, until it is sealed', async () => {
    await createClient({ url: server.url }).create({
      name: 'stream',
      processor: 'probe',
      items: [{}, {}],
      open: true,
    });
    const shown = async () => (await place.sheaf(['status', 'stream'])).stdout;
    await until(async () => (await shown()).includes('2/2'), shown);
    const text = await shown();
    expect(text).toMatch(/^○ Waiting for more items {2}stream /);
    expect(text).not.toContain(' left');
    expect(text).toContain(
      '  next: sheaf seal stream, when no more come · sheaf add stream PATH… --rest, after a stopped upload\n',
    );
    expect((await place.sheaf(['list'])).stdout).toMatch(/stream +○ Waiting for more items +█{10} 100% +– /);
    expect((await place.sheaf(['seal', 'stream'])).stdout).toBe(
      '✓ stream is closed for more items: Completed\n',
    );
  });

  it('deletes only with a yes', async () => {
    const refused = await place.sheaf(['rm', 'long']);
    expect(refused.stderr).toMatch(/^error: deleting needs a yes.*\nhint: sheaf rm bat_\w+ --yes/);
    expect(refused.code).toBe(2);
    expect((await place.sheaf(['rm', 'long', '--yes'])).stdout).toMatch(/^long bat_\w+ is deleted\.\n$/);
    expect((await place.sheaf(['status', 'long'])).code).toBe(6);
  });

  it('counts first what cleanup would delete', async () => {
    expect((await place.sheaf(['cleanup', '--days', '0', '--dry-run'])).stdout).toMatch(
      /^\d batches ended more than 0 days ago .*nothing was deleted\.\n$/,
    );
    expect((await place.sheaf(['cleanup', '--days', '0'])).code).toBe(2);
    expect((await place.sheaf(['cleanup', '--days', '0', '--yes'])).stdout).toMatch(/^\d batches deleted\./);
  });

  it('lists processors and templates', async () => {
    expect((await place.sheaf(['processor', 'list'])).stdout).toMatch(
      /^PROCESSOR .*\n(.*\n)*probe +1\.0\.0 +Waits/,
    );
    expect((await place.sheaf(['processor', 'show', 'probe'])).stdout).toContain('fail_rate');
    expect((await place.sheaf(['template', 'list', '--json'])).stdout).toContain('"id": "thumbnails"');
  });

  it('is well, by its doctor', async () => {
    const { code, stdout } = await place.sheaf(['doctor', '--json']);
    const { checks } = JSON.parse(stdout);
    expect(checks.map(({ name }: { name: string }) => name)).toEqual([
      'Node',
      'Server',
      'Folder',
      'Disk',
      'Writes',
      'Port',
      'Clock',
    ]);
    expect(code).toBe(0);
  });

  it('reads the server from the environment, and from its flag first', async () => {
    const env = { SHEAF_SERVER: server.url };
    expect((await place.sheaf(['list'], { env, cwd: '/' })).code).toBe(0);
    expect((await place.sheaf(['list', '--server', '127.0.0.1:9'], { env, cwd: '/' })).code).toBe(8);
  });
});

describe('the end of a server', () => {
  it('hands back what runs, says so, and takes its announcement away', async () => {
    const { stdout } = await place.sheaf(['run', 'probe', '-', '-p', 'wait_ms=300', '--detach', '-q'], {
      input: lines(200),
    });
    server.kill('SIGTERM');
    const { code, stderr } = await server.ended;
    expect(stderr).toMatch(/Stopping: running items finish .*\nStopped\. Nothing is lost/);
    expect(code).toBe(0);
    expect(existsSync(join(place.data, 'server.json'))).toBe(false);

    const looked = await place.sheaf(['status', stdout.trim()]);
    expect(looked.stderr).toContain('Nothing works on it now: sheaf up');
    const waited = await place.sheaf(['wait', stdout.trim()]);
    expect(waited.stderr).toMatch(/^error: nothing works on bat_\w+\nhint: start a server/);
    expect(waited.code).toBe(8);
  });

  it('does not believe an announcement of a server that is gone', async () => {
    writeFileSync(
      join(place.data, 'server.json'),
      JSON.stringify({ url: server.url, pid: server.pid, started_at: '' }),
    );
    expect((await place.sheaf(['list', '-q'])).code).toBe(0);
    writeFileSync(
      join(place.data, 'server.json'),
      JSON.stringify({ url: server.url, pid: process.pid, started_at: '' }),
    );
    expect((await place.sheaf(['list', '-q'])).code).toBe(0);
  });
});
