import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image, OutputImage } from './image.ts';
import { ledger } from './ledger-processor.ts';
import type { Place } from './place.ts';
import { type Problem, problem } from './problem.ts';

/**
 * A completed item has the output it promised: whole, as its sha256 says, and of the very start that
 * its result names. Each output is read once.
 */
export function checkOutputs(place: Place, image: Image, seen: Set<string>): Problem[] {
  const problems: Problem[] = [];
  for (const batch of image.batches.values()) {
    if (batch.processor !== ledger.name) continue;
    const bySeq = Map.groupBy(batch.outputs, ({ seq }) => seq);
    for (const { seq, status, wants_output, result } of batch.items) {
      const outputs = bySeq.get(seq) ?? [];
      const wanted = status === 'completed' && wants_output === 1 ? 1 : 0;
      const id = `${batch.id}/${seq}`;
      if (outputs.length !== wanted)
        problems.push(problem('outputs', `${id} is ${status} with ${outputs.length} outputs, not ${wanted}`));
      for (const output of outputs.filter((one) => !seen.has(one.id))) {
        seen.add(output.id);
        const wrong = wrongIn(place, output, result);
        if (wrong !== null) problems.push(problem('outputs', `the output ${output.id} of ${id} ${wrong}`));
      }
    }
  }
  return problems;
}

function wrongIn(place: Place, { space, sha256, bytes }: OutputImage, result: string | null): string | null {
  const path = join(place.data, 'files', space, sha256.slice(0, 2), sha256);
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (content.length !== bytes) return `has ${content.length} bytes, not ${bytes}`;
  if (createHash('sha256').update(content).digest('hex') !== sha256) return 'is damaged';
  const start = (JSON.parse(result ?? 'null') as { start?: string } | null)?.start ?? '';
  return content.toString('utf8').startsWith(`${start}\n`)
    ? null
    : 'was made by another start than its result';
}
