/** Processors for `sheaf up --processor`, and for child processes, which import them by this module. */
import { defineProcessor } from '../packages/engine/src/index.ts';
import { doNothing, type Input } from './nothing.ts';

export const noopOfServer = defineProcessor<Record<string, never>, Input>({
  name: 'bench.noop',
  isolation: 'inline',
  run: (item) => doNothing(item.input),
});

export const echo = defineProcessor<Record<string, never>, Input>({
  name: 'bench.echo',
  module: import.meta.url,
  run: (item) => doNothing(item.input),
});
