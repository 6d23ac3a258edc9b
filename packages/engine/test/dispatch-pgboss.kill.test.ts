import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createPgBossDispatch } from '../src/adapters/dispatch-pgboss/pgboss-dispatch.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { until } from '../src/testing/until.ts';

/** What reliability asks for: work of a dead worker is with another one by then. */
const SOON_MS = 10_000;

describePostgres('Turns in the hand of a process', (postgres) => {
  test('are with another one soon after it was killed', async () => {
    const { dispatch, holder, held } = await openBoth();
    await dispatch.offer([turn('a'), turn('b')]);
    await until('it holds both', () => held().length === 2);
    holder.kill('SIGKILL');
    const killed = performance.now();
    expect(await take(dispatch)).toBe('a');
    expect(await take(dispatch)).toBe('b');
    expect(performance.now() - killed).toBeLessThan(SOON_MS);
  });

  test('are with another one soon after it was stopped, and not in both hands when it goes on', async () => {
    const { dispatch, holder, held } = await openBoth();
    await dispatch.offer([turn('a')]);
    await until('it holds it', () => held().length === 1);
    holder.kill('SIGSTOP');
    expect(await take(dispatch)).toBe('a');
    holder.kill('SIGCONT');
    await dispatch.offer([turn('last')]);
    await until('it goes on', () => held().includes('last'));
    expect(held()).toEqual(['a', 'last']);
  });

  test('stay there while it works, for however long', async () => {
    const { dispatch, held } = await openBoth();
    await dispatch.offer([turn('a')]);
    await until('it holds it', () => held().length === 1);
    const end = performance.now() + SOON_MS;
    await until('it was long', () => performance.now() > end, { limit_ms: 2 * SOON_MS });
    expect(dispatch.hasWaiting()).toBe(false);
    const rows = await postgres.sql(`select state::text as state from sheaf_turns.job`);
    expect(rows).toEqual([{ state: 'active' }]);
  });

  async function openBoth() {
    await postgres.sql('drop schema if exists sheaf_turns cascade');
    const holder = spawn(
      process.execPath,
      [join(import.meta.dirname, 'fixtures', 'hold-turns.ts'), postgres.url],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let said = '';
    holder.stdout.on('data', (chunk) => {
      said += chunk;
    });
    onTestFinished(() => end(holder));
    const dispatch = await createPgBossDispatch({ url: postgres.url });
    onTestFinished(() => dispatch.close());
    const held = () => said.split('\n').slice(0, -1);
    await until('it listens', async () => {
      const rows = await postgres.sql(
        `select 1 from pg_stat_activity where application_name = 'sheaf turns' and query like 'listen%'`,
      );
      return rows.length === 2;
    });
    return { dispatch, holder, held };
  }
});

const NEVER = new AbortController().signal;

async function take(dispatch: Awaited<ReturnType<typeof createPgBossDispatch>>): Promise<string> {
  const taken = await dispatch.take(NEVER);
  if (taken === null) throw new Error('There was no turn.');
  return taken.batch_id;
}

function turn(batchId: string) {
  return { batch_id: batchId, n: 1, priority: 5 };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
