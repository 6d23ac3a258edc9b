import { createProcessRunner } from '../src/adapters/runner-process/process-runner.ts';
import { runnerContract } from '../src/testing/contracts/runner.contract.ts';

runnerContract('process', () => createProcessRunner({ max_children: 4, grace_ms: 200 }), { kill: true });
