import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Processor } from '@sheaf/engine';

/** What a processor did while it ran one file. */
export type Worked = {
  result: unknown;
  outputs: string[];
  metrics: Record<string, number>;
  steps: string[];
  lines: string[];
};

/** Runs one file through a processor in this process; outputs are written where `place` says. */
export async function runOn<Config, Input>(
  processor: Processor<Config, Input>,
  file: { path: string; name: string } | null,
  { config, place }: { config: unknown; place: (name: string) => string },
): Promise<Worked> {
  const worked: Worked = { result: null, outputs: [], metrics: {}, steps: [], lines: [] };
  const item = {
    batch_id: 'bat_test',
    seq: 1,
    name: file?.name ?? 'nothing',
    key: null,
    input: processor.input.parse(null),
    attempt: 1,
    file: file === null ? null : { ...file, ...factsOf(file.path), media_type: 'image/jpeg' },
  };
  worked.result = await processor.run(item, {
    config: processor.config.parse(config),
    signal: new AbortController().signal,
    progress: (step, percent) => worked.steps.push(`${step} ${percent}`),
    log: (line) => worked.lines.push(line),
    metric: (name, value) => {
      worked.metrics[name] = value;
    },
    output: (name) => {
      worked.outputs.push(name);
      return place(name);
    },
  });
  return worked;
}

function factsOf(path: string): { bytes: number; sha256: string } {
  const content = readFileSync(path);
  return { bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}
