import { openMemoryStore } from '../src/testing/index.ts';
import { storeContract } from '../src/testing/contracts/store.contract.ts';

storeContract('sqlite in memory', openMemoryStore);
