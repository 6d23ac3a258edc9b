import type { Pack } from '@sheaf/engine';
import { photos } from './photos/index.ts';
import { renders } from './renders/index.ts';

/** The applications that ship. */
export const packs: readonly Pack[] = [photos, renders];

export { photos } from './photos/index.ts';
export { renders } from './renders/index.ts';
