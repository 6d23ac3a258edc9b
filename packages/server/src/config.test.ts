import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConfigInput, loadConfig } from './config.ts';

const folder = mkdtempSync(join(tmpdir(), 'sheaf-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const load = (input: ConfigInput = {}) => loadConfig({ file: null, ...input });

describe('configuration', () => {
  it('has a default for everything', () => {
    expect(load()).toEqual({
      data_dir: './sheaf-data',
      database: null,
      files: null,
      pools: ['default'],
      host: '127.0.0.1',
      port: 5100,
      concurrency: 8,
      retention_days: 7,
      allowed_hosts: [],
      allowed_origins: [],
      log_level: 'info',
      recovery: null,
    });
  });

  it('never repeats the password of a database that it refuses', () => {
    const env = { SHEAF_DATABASE: 'mysql://sheaf:hunter2@db.example/sheaf' };
    expect(() => load({ env })).toThrow(
      /database "mysql:\/\/sheaf:…@db\.example\/sheaf" \(from SHEAF_DATABASE\)/,
    );
  });

  it('takes the flag before the environment before the file before the default', () => {
    const file = write({ port: 1, concurrency: 2, retention_days: 3 });
    const env = { SHEAF_PORT: '4', SHEAF_CONCURRENCY: '5' };
    expect(load({ flags: { port: 6 }, env, file })).toMatchObject({
      port: 6,
      concurrency: 5,
      retention_days: 3,
      host: '127.0.0.1',
    });
  });

  it('reads numbers, lists and auto from texts', () => {
    const env = { SHEAF_ALLOWED_HOSTS: 'a.example, b.example', SHEAF_RECOVERY: 'auto', SHEAF_PORT: '' };
    expect(load({ flags: { concurrency: '12' }, env })).toMatchObject({
      concurrency: 12,
      allowed_hosts: ['a.example', 'b.example'],
      recovery: null,
      port: 5100,
    });
  });

  it('reads the folder of a file from where the file is', () => {
    expect(load({ file: write({ data_dir: 'data' }) }).data_dir).toBe(join(folder, 'data'));
    expect(load({ env: { SHEAF_DATA: 'near' } }).data_dir).toBe('near');
  });

  it.each<[string, ConfigInput, string[]]>([
    [
      'a bad port from the environment',
      { env: { SHEAF_PORT: '99999' } },
      ['port "99999" (from SHEAF_PORT)', '0 to 65535', 'SHEAF_PORT=5100'],
    ],
    ['a port that is no number', { flags: { port: 'http' } }, ['port "http" (from --port)', '--port 5100']],
    ['half an item', { flags: { concurrency: 1.5 } }, ['concurrency "1.5"', '--concurrency 8']],
    ['an unknown word', { flags: { log_level: 'loud' } }, ['log_level "loud"', 'debug', '--log-level info']],
    [
      'a bad recovery',
      { env: { SHEAF_RECOVERY: 'maybe' } },
      ['expected resume, review or auto', 'SHEAF_RECOVERY=auto'],
    ],
    [
      'a number as text in the file',
      { file: write({ port: '80' }) },
      ['port "80"', 'expected number', '"port": 5100'],
    ],
    [
      'an unknown setting in the file',
      { file: write({ prot: 80 }) },
      ['no setting "prot"', 'did you mean "port"?'],
    ],
    [
      'a mistyped variable',
      { env: { SHEAF_CONCURENCY: '9' } },
      ['SHEAF_CONCURENCY', 'did you mean SHEAF_CONCURRENCY?'],
    ],
    ['a file that is not there', { file: 'missing.json' }, ['missing.json', 'cannot be read']],
    ['a file that is not JSON', { file: write('{') }, ['is not JSON']],
    ['a file that is a list', { file: write([]) }, ['must be one object']],
    [
      'a host that others can reach',
      { flags: { host: '0.0.0.0' } },
      ['host "0.0.0.0" (from --host)', 'later release'],
    ],
    ['an address in the network', { env: { SHEAF_HOST: '192.168.1.5' } }, ['192.168.1.5', 'later release']],
    [
      'other origins',
      { flags: { allowed_origins: ['https://a.example'] } },
      ['allowed_origins', 'later release'],
    ],
    ['a folder that is a file', { flags: { data_dir: write({}) } }, ['data_dir', 'not a folder']],
  ])('refuses %s in one line that says what, where and how to mend it', (_, input, words) => {
    const message = refusal(input);
    for (const word of words) expect(message).toContain(word);
    expect(message.split('\n')).toHaveLength(1);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a folder that cannot be written', () => {
    const locked = join(folder, 'locked');
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    expect(refusal({ flags: { data_dir: locked } })).toContain('cannot be read and written');
  });

  it.each(['localhost', '127.0.0.1', '127.1.2.3', '::1'])('listens on %s', (host) => {
    expect(load({ flags: { host } }).host).toBe(host);
  });

  it('passes over variables that are no settings', () => {
    expect(load({ env: { SHEAF_SERVER: 'http://x', SHEAF_TELEPHONE: '1', PORT: '9' } }).port).toBe(5100);
  });

  it('never repeats more than a little of a value', () => {
    expect(refusal({ flags: { port: 'x'.repeat(10_000) } }).length).toBeLessThan(400);
  });
});

function refusal(input: ConfigInput): string {
  try {
    load(input);
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad_config' });
    return String((error as Error).message);
  }
  throw new Error('nothing was refused');
}

function write(content: unknown): string {
  const path = join(folder, `${crypto.randomUUID()}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}
