/** The most items one batch may have. */
export const MAX_ITEMS = 10_000_000;

/** The most items of one batch that may run at the same time. */
export const MAX_CONCURRENCY = 1_000;

export const DEFAULT_CONCURRENCY = 4;
export const DEFAULT_PRIORITY = 5;

/** Retried items overtake the rest of their batch. */
export const RETRY_PRIORITY = 8;
