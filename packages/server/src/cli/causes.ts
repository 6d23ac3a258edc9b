import type { Client } from '@sheaf/client';
import { type Cause, nearest, type Wire } from '@sheaf/protocol';
import { failure } from './failure.ts';

/**
 * The causes a person means: one by its whole text, else all with this code, else the one that begins
 * like this.
 *
 * @throws not_found with the causes there are.
 */
export async function causesFor(client: Client, batchId: string, text: string): Promise<Wire<Cause>[]> {
  const causes = await client.causes(batchId);
  const exact = causes.filter(({ cause }) => cause === text);
  if (exact.length > 0) return exact;
  const ofCode = causes.filter(({ code }) => code === text);
  if (ofCode.length > 0) return ofCode;
  const beginning = causes.filter(({ cause }) => cause.startsWith(text));
  if (beginning.length === 1) return beginning;
  const codes = [...new Set(causes.map(({ code }) => code))];
  const known = nearest(text, codes)[0] ?? codes.join(', ');
  throw failure(
    'not_found',
    `no item failed of "${text}"`,
    codes.length === 0 ? 'no item failed at all' : `did you mean ${known}?`,
  );
}
