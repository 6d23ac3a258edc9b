import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeFiles } from './processors.ts';
import { makePlace, type Place } from './sheaf.ts';

// Each case runs whole processes, and others may run beside.
vi.setConfig({ testTimeout: 60_000 });

let place: Place;

beforeAll(() => {
  place = makePlace();
  writeFiles(place.dir);
  mkdirSync(join(place.dir, 'empty'));
  writeFileSync(join(place.dir, 'broken.jsonl'), '{"input":1}\n{"input":\n');
  writeFileSync(join(place.dir, 'list.json'), '[1]');
  writeFileSync(join(place.dir, 'empty.ts'), 'export const nothing = 1;\n');
  writeFileSync(join(place.dir, 'broken.ts'), 'export const = ;\n');
  writeFileSync(join(place.dir, 'wrong.json'), '{"prot": 1}');
  writeFileSync(join(place.dir, 'a-file'), '');
});

afterAll(() => place.close());

type Row = [what: string, args: string[], code: number, error: RegExp, hint: RegExp | null];

/** Each row: what a person may type, the exit code, the first line, and the hint below it. */
const ROWS: Row[] = [
  ['an unknown command', ['lst'], 2, /^unknown command 'lst'/, /did you mean/],
  ['an unknown flag', ['list', '--statsu', 'x'], 2, /^unknown option '--statsu'/, /did you mean --status/],
  ['a flag without its value', ['list', '--status'], 2, /argument missing/, /sheaf help/],
  ['a missing argument', ['items'], 2, /missing required argument 'batch\[\/seq\]'/, /sheaf help/],
  ['one argument too many', ['version', 'now'], 2, /too many arguments/, /sheaf help/],
  ['a choice that is none', ['--color', 'blue', 'list'], 2, /'blue' is invalid/, /sheaf help/],
  ['help for nothing', ['help', 'ruN'], 2, /no help for "ruN"/, /did you mean run/],
  ['no paths', ['run', 'thumbnails'], 66, /nothing to work on/, /files or a folder/],
  ['a path that is not there', ['run', 'thumbnails', 'nowhere'], 66, /no file or folder nowhere/, null],
  ['a pattern without a match', ['run', 'thumbnails', '*.heic'], 66, /no file matches \*\.heic/, null],
  ['an empty folder', ['run', 'thumbnails', 'empty'], 66, /no files in empty/, /hidden/],
  ['a web address', ['run', 'thumbnails', 'https://example.org/a.jpg'], 2, /is an address/, /fetch it/],
  [
    'an input without a word',
    ['run', 'probe', '-'],
    66,
    /nothing came on standard input/,
    /JSON object a line/,
  ],
  ['- beside paths', ['run', 'probe', '-', 'in'], 2, /goes alone/, null],
  ['a manifest beside paths', ['run', 'probe', 'in', '--manifest', 'broken.jsonl'], 2, /not both/, null],
  [
    'a broken line',
    ['run', 'probe', '--manifest', 'broken.jsonl'],
    2,
    /broken\.jsonl line 2 is not JSON/,
    null,
  ],
  [
    'a CSV manifest',
    ['run', 'probe', '--manifest', 'items.csv'],
    2,
    /CSV manifests are not read yet/,
    /JSON lines/,
  ],
  [
    'a manifest that is not there',
    ['run', 'probe', '--manifest', 'no.jsonl'],
    66,
    /cannot read no\.jsonl/,
    null,
  ],
  [
    'settings that are no object',
    ['run', 'probe', 'in', '--params', 'list.json'],
    2,
    /not a JSON object/,
    /width/,
  ],
  [
    'settings that are not there',
    ['run', 'probe', 'in', '--params', 'no.json'],
    66,
    /cannot read no\.json/,
    null,
  ],
  ['a pair without a value', ['run', 'probe', 'in', '-p', 'width'], 2, /-p takes KEY=VALUE/, null],
  ['a priority that is none', ['run', 'probe', 'in', '--priority', 'urgent'], 2, /0–9, not "urgent"/, null],
  [
    'a time that is none',
    ['run', 'probe', 'in', '--item-timeout', 'soon'],
    2,
    /takes a time, not "soon"/,
    /10m/,
  ],
  ['a budget that is none', ['run', 'probe', 'in', '--failure-budget', '0'], 2, /share or a number/, /20%/],
  [
    'a rate limit that is none',
    ['run', 'probe', 'in', '--rate-limit', '10'],
    2,
    /items in a time of 100 ms to a day, not "10"/,
    /10\/s/,
  ],
  ['a limit of nothing', ['limit', '@last'], 2, /nothing to limit is named/, /--concurrency 2/],
  [
    'a canary that is none',
    ['run', 'probe', 'in', '--canary', 'few'],
    2,
    /number of items, not "few"/,
    /20:95%/,
  ],
  ['a number out of range', ['run', 'probe', 'in', '--concurrency', '0'], 2, /from 1 to 1000, not "0"/, null],
  ['a processor file that is not there', ['run', './no.ts', 'in'], 66, /no file \.\/no\.ts/, null],
  ['a file without a processor', ['run', './empty.ts', 'in'], 2, /exports no processor/, /export one/],
  ['a file that is broken', ['run', './broken.ts', 'in'], 2, /cannot load \.\/broken\.ts/, /--debug/],
  [
    'a file with two processors',
    ['run', './processors.ts', 'in'],
    2,
    /exports 2 processors: copy, double/,
    /#copy/,
  ],
  [
    'a name the file does not export',
    ['run', './processors.ts#cop', 'in'],
    2,
    /no processor "cop"/,
    /copy, double/,
  ],
  [
    'a data folder that is not there',
    ['status', '@last'],
    6,
    /no data folder \.\/sheaf-data yet/,
    /sheaf demo/,
  ],
  [
    'a data folder that is a file',
    ['list', '--data', 'a-file'],
    78,
    /data_dir ".*a-file".*not a folder/,
    null,
  ],
  [
    'a setting that does not exist',
    ['list', '--config', 'wrong.json'],
    78,
    /no setting "prot".*did you mean "port"/,
    null,
  ],
  ['a port that is none', ['up', '--port', '99999'], 78, /port "99999" \(from --port\)/, null],
  [
    'a server that is not there',
    ['list', '--server', '127.0.0.1:9'],
    8,
    /cannot reach http:\/\/127\.0\.0\.1:9 \(/,
    /sheaf up/,
  ],
  ['a server that is no address', ['list', '--server', 'ftp://x'], 2, /"ftp:\/\/x" is no address/, /5100/],
  ['a server for up', ['up', '--server', 'http://127.0.0.1:9'], 2, /up starts a server here/, /SHEAF_SERVER/],
];

describe('what a person may type wrong', () => {
  it.each(ROWS)('%s', async (_what, args, code, error, hint) => {
    const ended = await place.sheaf(args);
    const [first = '', ...rest] = ended.stderr.split('\n');
    expect(first).toMatch(/^error: /);
    expect(first.slice('error: '.length)).toMatch(error);
    if (hint !== null) expect(rest.join('\n')).toMatch(hint);
    expect(ended.stdout).toBe('');
    expect(ended.code).toBe(code);
  });

  it('with --json the error is a problem object on stderr, and stdout stays empty', async () => {
    const { code, stdout, stderr } = await place.sheaf(['run', 'thumbnails', 'nowhere', '--json']);
    expect(JSON.parse(stderr)).toEqual({
      schema: 'sheaf/v1',
      title: expect.any(String),
      detail: 'there is no file or folder nowhere',
      code: 'no_input',
      exit: 66,
      hint: null,
    });
    expect({ code, stdout }).toEqual({ code: 66, stdout: '' });
  });

  it('makes nothing on the disk when it only looks', async () => {
    const { code, stdout } = await place.sheaf(['list']);
    expect(stdout).toContain('No batches yet.');
    expect(code).toBe(0);
    const { existsSync } = await import('node:fs');
    expect(existsSync(place.data)).toBe(false);
  });
});

describe('what is wrong only when the data is there', () => {
  beforeAll(async () => {
    await place.up();
  });

  const later: Row[] = [
    [
      'an unknown processor',
      ['run', 'thumbnial', 'in'],
      2,
      /no processor or template "thumbnial"/,
      /thumbnails/,
    ],
    ['a setting the processor does not take', ['run', 'probe', 'in', '-p', 'wait=1'], 2, /wait/, null],
    ['a batch that is not there', ['status', 'nothing'], 6, /^Batch not found: nothing/, null],
    ['@last without any', ['status', '@last'], 6, /^Batch not found: @last/, /sheaf list/],
    ['an @ that is none', ['status', '@first'], 2, /"@first" is not known/, /@last/],
    [
      'a state that is none',
      ['list', '--status', 'runing'],
      2,
      /"runing" is no state/,
      /did you mean running/,
    ],
    ['a processor to show that is none', ['processor', 'show', 'prob'], 6, /no processor "prob"/, /probe/],
  ];

  it.each(later)('%s', async (_what, args, code, error, hint) => {
    const ended = await place.sheaf(args);
    const [first = '', ...rest] = ended.stderr.split('\n');
    expect(first.replace(/^error: /, '')).toMatch(error);
    if (hint !== null) expect(rest.join('\n')).toMatch(hint);
    expect(ended.code).toBe(code);
  });
});
