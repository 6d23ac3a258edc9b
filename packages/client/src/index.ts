export type { Client, ClientOptions, ItemView, ListQuery, LogLine, Page } from './client.ts';
export { createClient } from './client.ts';
export type { StateLabel, Tone } from './labels.ts';
export { batchLabel, ITEM_LABELS, itemLabel, STATUS_LABELS, waitsForItems, waitsForRate } from './labels.ts';
export type { Live, LiveOptions, LiveState } from './live.ts';
export { openLive } from './live.ts';
export type { NewFile } from './multipart.ts';
