import { openLastingStore } from '../src/testing/index.ts';
import { rangesTest } from './store/ranges.ts';

rangesTest('SQLite', { open: openLastingStore, runs: 150, limit_ms: 60_000 });
