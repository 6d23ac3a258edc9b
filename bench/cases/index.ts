import type { Bench } from '../bench.ts';
import { commandBench } from './command.ts';
import { controlBench } from './control.ts';
import { intakeBench } from './intake.ts';
import { noopBench } from './noop.ts';
import { photosBench, smallPhotosBench } from './photos.ts';
import { processesBench } from './processes.ts';
import { retryBench } from './retry.ts';

export const BENCHES: readonly Bench[] = [
  noopBench,
  retryBench,
  intakeBench,
  controlBench,
  processesBench,
  photosBench,
  smallPhotosBench,
  commandBench,
];
