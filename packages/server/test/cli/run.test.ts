import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFiles } from './processors.ts';
import { makePlace, masked, type Place } from './sheaf.ts';

// Each case runs whole processes, and others may run beside.
vi.setConfig({ testTimeout: 60_000 });

let place: Place;

beforeAll(() => {
  place = makePlace();
  writeFiles(place.dir);
});

afterAll(() => place.close());

describe('sheaf run without a server', () => {
  it('writes a log of plain lines, fetches the outputs in their folders, and exits 3 when one failed', async () => {
    const { code, stdout, stderr } = await place.sheaf(['run', './processors.ts#copy', 'in']);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be in a pipe
    expect(stdout).not.toMatch(/\u001b/);
    const lines = masked(stdout).trim().split('\n');
    expect(lines.filter((line) => !/ (?:queued|running) /.test(line))).toEqual([
      'HH:MM:SS created bat_ID "in" items=4',
      'HH:MM:SS failure bad: it is bad (bad.txt)',
      'HH:MM:SS partially_completed completed=3 failed=1 took=TIME',
      'HH:MM:SS outputs files=3 bytes=22',
      'HH:MM:SS next sheaf retry @last --cause bad',
    ]);
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(tree(join(place.dir, 'in-out'))).toEqual({
      'a.txt': 'a.txt\n',
      'b.txt': 'b.txt\n',
      'sub/a.txt': 'sub/a.txt\n',
    });
  });

  it('never writes over what is there: a new folder by itself, a kept or numbered file with --out', async () => {
    await place.sheaf(['run', './processors.ts#copy', 'in', '-q']);
    expect(readdirSync(place.dir)).toContain('in-out-2');

    writeFileSync(join(place.dir, 'in-out', 'b.txt'), 'mine\n');
    const { stdout } = await place.sheaf(['run', './processors.ts#copy', 'in', '--out', 'in-out', '--json']);
    expect(JSON.parse(stdout).outputs).toEqual({ dir: 'in-out', files: 3, bytes: 22, kept: 2 });
    expect(tree(join(place.dir, 'in-out'))).toMatchObject({ 'b.txt': 'mine\n', 'b (2).txt': 'b.txt\n' });
  });

  it('takes items from standard input and answers the batch as JSON', async () => {
    const input = '{"input":1,"key":"one"}\n{"input":2}\n';
    const { code, stdout } = await place.sheaf(
      ['run', './processors.ts#double', '-', '--json', '-n', 'numbers'],
      { input },
    );
    expect(JSON.parse(stdout)).toMatchObject({
      schema: 'sheaf/v1',
      name: 'numbers',
      status: 'completed',
      completed_items: 2,
      causes: [],
    });
    expect(code).toBe(0);

    const items = await place.sheaf(['items', 'numbers', '--jsonl']);
    const results = items.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ seq, key, result }) => ({ seq, key, result }))).toEqual([
      { seq: 1, key: 'one', result: 2 },
      { seq: 2, key: null, result: 4 },
    ]);
    expect((await place.sheaf(['logs', 'numbers/2'])).stdout).toMatch(/2#1 doubling 2\n$/);
  });

  it('takes a file of lines whole, as one item, and says how its lines become items', async () => {
    writeFileSync(join(place.dir, 'rows.ndjson'), '{"input":1}\n{"input":2}\n');
    const hint = 'rows.ndjson is one item, as a file. For an item from each line:  --manifest rows.ndjson\n';
    const whole = await place.sheaf(['run', './processors.ts#copy', 'rows.ndjson', '--json']);
    expect(JSON.parse(whole.stdout)).toMatchObject({ status: 'completed', total_items: 1 });
    expect(whole).toMatchObject({ code: 0, stderr: hint });
    expect((await place.sheaf(['add', '@last', 'rows.ndjson'])).stderr).toContain(hint);

    const quiet = await place.sheaf(['run', './processors.ts#copy', 'rows.ndjson', '-q']);
    expect(quiet).toMatchObject({ code: 0, stderr: '' });
    const lines = ['run', './processors.ts#double', '--manifest', 'rows.ndjson', '--json'];
    const { stdout, stderr } = await place.sheaf(lines);
    expect(JSON.parse(stdout).total_items).toBe(2);
    expect(stderr).not.toContain('one item');
  });

  it('cannot detach from work that ends with the command', async () => {
    const { code, stderr } = await place.sheaf(['run', 'probe', 'in', '--detach']);
    expect(stderr).toMatch(/^error: --detach needs a server .*\nhint: start one with {2}sheaf up/);
    expect(code).toBe(8);
  });

  it('with the same key goes on with the batch it made, and uploads nothing twice', async () => {
    const args = [
      'run',
      './processors.ts#copy',
      'in',
      '--idempotency-key',
      'nightly',
      '--json',
      '-o',
      'keyed',
    ];
    const [first, second] = [await place.sheaf(args), await place.sheaf(args)];
    const [one, two] = [JSON.parse(first.stdout), JSON.parse(second.stdout)];
    expect(two.id).toBe(one.id);
    expect(two.total_items).toBe(4);
    expect(two.outputs).toMatchObject({ files: 3, kept: 3 });
    expect([first.code, second.code]).toEqual([3, 3]);
  });

  it('retries one cause, sees that it fails again, and says what there is when asked for another', async () => {
    const again = await place.sheaf(['retry', '@last', '--cause', 'bad', '--processor', './processors.ts']);
    expect(again.stdout).toContain('↻ Re-queued: in, 1 item (round 2)');
    expect(again.code).toBe(3);
    const other = await place.sheaf(['retry', '@last', '--cause', 'worse']);
    expect(other.stderr).toMatch(/^error: no item failed of "worse"\nhint: did you mean bad\?/);
    expect(other.code).toBe(6);
    const without = await place.sheaf(['retry', '@last']);
    expect(without.stderr).toMatch(/processor "copy" of in is not here\nhint: .*--processor FILE/);
  });
});

/** Names and contents of all files below. */
function tree(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map((file) => {
      const path = join(file.parentPath, file.name);
      return [path.slice(dir.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}
