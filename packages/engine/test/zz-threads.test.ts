import { openThreadedSqliteStore } from '../src/adapters/store-sql/threaded.ts';
import { openTemporaryStore, storeContract } from '../src/testing/index.ts';

storeContract('sqlite on threads', () => openTemporaryStore(openThreadedSqliteStore));
