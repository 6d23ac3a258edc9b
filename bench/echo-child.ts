/** The child of the bare fork pool: answers each message with the work that is none. */
import { doNothing, type Input } from './nothing.ts';

process.on('message', async (message) => {
  // Sent by the pool, which sends nothing else.
  const { id, input } = message as { id: number; input: string };
  const result = JSON.stringify(await doNothing(JSON.parse(input) as Input));
  process.send?.({ id, result });
});
