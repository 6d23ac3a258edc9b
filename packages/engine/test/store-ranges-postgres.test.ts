import { lastingPostgres } from '../src/testing/lasting-postgres.ts';
import { describePostgres } from '../src/testing/temporary-postgres.ts';
import { rangesTest } from './store/ranges.ts';

describePostgres('ranges in PostgreSQL', (postgres) => {
  rangesTest('PostgreSQL', { open: lastingPostgres(postgres), runs: 150, limit_ms: 8_000 });
});
