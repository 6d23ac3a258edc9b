import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPgBossDispatch } from '../src/adapters/dispatch-pgboss/pgboss-dispatch.ts';
import { openPostgresStore } from '../src/adapters/store-sql/postgres.ts';
import { openSqliteStore } from '../src/adapters/store-sql/sqlite.ts';
import { describePostgres, type Fate, type PostgresProxy, startPostgresProxy } from '../src/testing/index.ts';

const MIGRATE = fileURLToPath(new URL('./fixtures/migrate.ts', import.meta.url));

/** Processes that are killed side by side: to start is most of what each does. */
const LANES = 3;

describePostgres('a schema of PostgreSQL', (postgres) => {
  it('is whole after the next start, at whichever statement its process was killed', async () => {
    const url = await postgres.database();
    const whole = await openWhole(url);
    const statements = await statementsOf(url);
    // Within a transaction one statement is like another; those around it are each met.
    const last = statements.lastIndexOf('commit');
    const from = statements.indexOf('begin');
    const moments = [...statements.keys()].filter((n) => n < from + 2 || n >= last - 1 || n % 10 === 0);
    expect(moments.length).toBeGreaterThan(12);
    const lane = async () => {
      const proxy = await openProxy();
      for (let n = moments.shift(); n !== undefined; n = moments.shift()) {
        const schema = `killed_${n}`;
        const child = spawn(process.execPath, [MIGRATE, proxy.through(url), schema], { stdio: 'ignore' });
        // What it has said is heard and done; then it is gone.
        proxy.decide = atStatement(n, () => {
          child.kill('SIGKILL');
          return 'unheard';
        });
        const [, signal] = await once(child, 'exit');
        expect(signal, `at ${statements[n]}`).toBe('SIGKILL');
        await open(url, schema);
        expect(await shapeOf(schema, url), `killed at ${statements[n]}`).toEqual(whole);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  });

  it('is whole after the next start, at whichever statement its connection broke', async () => {
    const url = await postgres.database();
    const whole = await openWhole(url);
    const proxy = await openProxy();
    for (const [n, statement] of (await statementsOf(url)).entries()) {
      const schema = `broken_${n}`;
      proxy.decide = atStatement(n, () => 'unheard');
      // Whoever has made everything may not notice.
      await open(proxy.through(url), schema).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'store_unavailable' });
      });
      await open(url, schema);
      expect(await shapeOf(schema, url), `broken at ${statement}`).toEqual(whole);
    }
  });

  it('of turns is whole after the next start, at whichever statement its connection broke', async () => {
    const url = await postgres.database();
    const openTurns = async (at: string, schema: string) => {
      const dispatch = await createPgBossDispatch({ url: at, schema });
      await dispatch.close();
    };
    await openTurns(url, 'whole');
    const whole = await shapeOf('whole', url);
    const proxy = await openProxy();
    let isBroken = true;
    for (let n = 0; isBroken; n++) {
      const schema = `broken_${n}`;
      isBroken = false;
      proxy.decide = atStatement(n, () => {
        isBroken = true;
        return 'unheard';
      });
      await openTurns(proxy.through(url), schema).catch(() => undefined);
      await openTurns(url, schema);
      expect(await shapeOf(schema, url), `broken at statement ${n}`).toEqual(whole);
    }
  });

  async function openProxy(): Promise<PostgresProxy> {
    const proxy = await startPostgresProxy(postgres.url);
    onTestFinished(() => proxy.close());
    return proxy;
  }

  async function open(url: string, schema: string): Promise<void> {
    const store = await openPostgresStore({ url, schema, pool: 1 });
    await store.close();
  }

  /** One that nobody disturbs. */
  async function openWhole(url: string): Promise<unknown> {
    await open(url, 'whole');
    return shapeOf('whole', url);
  }

  /** What a first start asks for, in order. */
  async function statementsOf(url: string): Promise<string[]> {
    const proxy = await openProxy();
    const statements: string[] = [];
    proxy.decide = (statement) => {
      statements.push(statement);
      return 'pass';
    };
    await open(proxy.through(url), 'watched');
    return statements;
  }

  /** Everything that a schema consists of, and the steps that it says were made. */
  async function shapeOf(schema: string, url: string): Promise<unknown> {
    const [row] = await postgres.sql(SHAPE, [schema], url);
    const shape = JSON.parse(JSON.stringify(row).replaceAll(schema, 'SCHEMA')) as Record<string, unknown>;
    if (!JSON.stringify(shape.columns).includes('"migration"')) return shape;
    return { ...shape, steps: await postgres.sql(`select version from "${schema}".migration`, [], url) };
  }
});

const SHAPE = `select
  (select json_agg(c order by c.table_name, c.column_name) from (select table_name, column_name, data_type,
    collation_name, is_nullable, is_identity, column_default from information_schema.columns
    where table_schema = $1) c) as columns,
  (select json_agg(i order by i.indexname) from (select indexname, indexdef from pg_indexes
    where schemaname = $1) i) as indexes,
  (select json_agg(r order by r.of, r.conname) from (select conrelid::regclass::text as of, conname,
    pg_get_constraintdef(oid) as rule from pg_constraint where connamespace = $1::regnamespace) r) as rules,
  (select json_agg(p order by p.proname, p.prosrc) from (select proname, prosrc from pg_proc
    where pronamespace = $1::regnamespace) p) as functions`;

/** Does something at the n-th statement that comes, counted from 0. */
function atStatement(n: number, act: () => Fate): PostgresProxy['decide'] {
  let statements = 0;
  return () => (statements++ === n ? act() : 'pass');
}

describe('a schema of SQLite', () => {
  it('is whole after the next start, at whichever statement its process was killed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sheaf-migrations-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const live = join(folder, 'live');
    // What a killed process leaves behind is its files as they are: here, before and after each statement.
    const cuts: string[] = [];
    const cut = () => {
      const copy = join(folder, `cut-${cuts.length + 1}`);
      cpSync(live, copy, { recursive: true });
      cuts.push(copy);
    };
    cpSync(mkdtempSync(join(folder, 'empty-')), live, { recursive: true });
    const restore = atEachStatement(cut);
    try {
      await open(join(live, 'sheaf.db'));
    } finally {
      restore();
    }
    const whole = shapeOf(join(live, 'sheaf.db'));
    expect(cuts.length).toBeGreaterThan(40);
    const found = new Set<string>();
    for (const copy of cuts) {
      const file = join(copy, 'sheaf.db');
      found.add(JSON.stringify(shapeOf(file)));
      await open(file);
      expect(shapeOf(file), copy).toEqual(whole);
    }
    // Nothing, the list of steps, and what each of the four made: a step is there or it is not.
    expect(found.size).toBe(6);
  });

  async function open(file: string): Promise<void> {
    const store = await openSqliteStore({ file });
    expect(await store.checkInvariants()).toEqual([]);
    await store.close();
  }

  function shapeOf(file: string): unknown[] {
    const database = new DatabaseSync(file);
    const shape = database.prepare('select type, name, sql from sqlite_schema order by type, name').all();
    database.close();
    return shape;
  }
});

/** Calls `look` before and after each statement of SQLite in this process. Answers how to end that. */
function atEachStatement(look: () => void): () => void {
  const database = DatabaseSync.prototype;
  const statement = StatementSync.prototype;
  const originals = { exec: database.exec, run: statement.run, all: statement.all, get: statement.get };
  const watched = <This, Args extends unknown[], Answer>(method: (this: This, ...args: Args) => Answer) =>
    function (this: This, ...args: Args): Answer {
      look();
      const answer = method.apply(this, args);
      look();
      return answer;
    };
  // The same methods with a look around them; overloads get lost in between.
  database.exec = watched(originals.exec);
  statement.run = watched(originals.run) as typeof originals.run;
  statement.all = watched(originals.all) as typeof originals.all;
  statement.get = watched(originals.get) as typeof originals.get;
  return () => {
    database.exec = originals.exec;
    Object.assign(statement, { run: originals.run, all: originals.all, get: originals.get });
  };
}
