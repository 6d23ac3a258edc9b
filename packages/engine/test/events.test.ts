import { createLocalEvents } from '../src/adapters/events-local/local-events.ts';
import { eventsContract } from '../src/testing/contracts/events.contract.ts';

eventsContract('local', async () => ({ events: createLocalEvents(), close: async () => undefined }));
