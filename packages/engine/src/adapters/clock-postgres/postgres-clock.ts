import { SheafError } from '@sheaf/protocol';
import type { Clock } from '../../ports/clock.ts';
import { openPostgresPool } from '../postgres-pool.ts';

export type PostgresClock = Clock & { close(): Promise<void> };

/** A correction backwards of no more than this is noise of the measuring: time stands still for it. */
const NOISE_MS = 1_000;
const SAMPLES = 3;

/**
 * The database's time, so that all processes of a cluster agree however wrong their own clocks are.
 *
 * Its distance to this process's monotonic time is measured at the start and again every few seconds;
 * in between, and while the database is away, it goes on by that one. It never steps back, unless
 * the database's own clock was set back.
 *
 * @param options.every_ms How often it is measured. Default 10,000.
 * @throws store_unavailable when the database cannot be reached at the start.
 */
export async function createPostgresClock(options: {
  url: string;
  every_ms?: number;
}): Promise<PostgresClock> {
  const { url, every_ms = 10_000 } = options;
  const pool = openPostgresPool({ url, application_name: 'sheaf clock', max: 1, query_timeout: 5_000 });
  let last = Number.NEGATIVE_INFINITY;
  let measuring: Promise<void> | null = null;
  let offset = await measure().catch(async (error: unknown) => {
    await pool.end();
    const what = error instanceof Error ? error.message : String(error);
    throw new SheafError('store_unavailable', `PostgreSQL does not tell the time: ${what}`, {}, error);
  });
  const timer = setInterval(() => {
    measuring ??= correct().finally(() => {
      measuring = null;
    });
  }, every_ms).unref();

  return {
    now() {
      last = Math.max(last, Math.floor(offset + performance.now()));
      return last;
    },
    async close() {
      clearInterval(timer);
      await measuring;
      await pool.end();
    },
  };

  async function correct(): Promise<void> {
    try {
      const measured = await measure();
      if (measured < offset - NOISE_MS) last = Number.NEGATIVE_INFINITY;
      offset = measured;
    } catch {
      // Our own time goes on, and whoever needs the database finds out by himself.
    }
  }

  /** Database time minus monotonic time, by the quickest of a few answers. */
  async function measure(): Promise<number> {
    const client = await pool.connect();
    try {
      let best = { took: Number.POSITIVE_INFINITY, offset: 0 };
      for (let i = 0; i < SAMPLES; i++) {
        const asked = performance.now();
        const { rows } = await client.query<{ now: number }>(
          'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
        );
        const took = performance.now() - asked;
        const now = rows[0]?.now ?? Number.NaN;
        if (took < best.took) best = { took, offset: now - (asked + took / 2) };
      }
      client.release();
      return best.offset;
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}
