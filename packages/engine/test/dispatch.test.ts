import { createLocalDispatch } from '../src/adapters/dispatch-local/local-dispatch.ts';
import { dispatchContract } from '../src/testing/contracts/dispatch.contract.ts';

dispatchContract('local', createLocalDispatch);
