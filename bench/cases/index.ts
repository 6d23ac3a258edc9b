import type { Bench } from '../bench.ts';
import { noopBench } from './noop.ts';

export const BENCHES: readonly Bench[] = [noopBench];
