import { errorCode } from '@sheaf/protocol';
import type { Files } from '../ports/files.ts';
import type { Store } from '../ports/store.ts';

/** What becomes of storage problems, whoever's call meets them. */
export type StorageWatch = {
  /** A write was not kept: called once, and nothing is written any more. */
  onFailed(error: unknown): void;
  /** A write of the Store found the disk full. */
  onFull(): void;
};

/**
 * The Store, watched: after a write that the disk failed to keep no other one is tried, since it may
 * seem to succeed. Callers get the same error from then on.
 */
export function watchStore(store: Store, watch: StorageWatch): Store {
  let failure: unknown = null;
  const watched = Object.entries(store).map(([name, method]) => {
    if (name === 'close' || name === 'onEvents') return [name, method];
    // Every other member of the port takes some arguments and answers a promise.
    const call = method as (...args: unknown[]) => Promise<unknown>;
    const watchedCall = async (...args: unknown[]) => {
      if (failure !== null) throw failure;
      try {
        return await call(...args);
      } catch (error) {
        const code = errorCode(error);
        if (code === 'storage_full') watch.onFull();
        if (code === 'storage_failed' && failure === null) {
          failure = error;
          watch.onFailed(error);
        }
        throw error;
      }
    };
    return [name, watchedCall];
  });
  return Object.fromEntries(watched) as Store;
}

/** Files whose failed writes are told, too. */
export function watchFiles(files: Files, watch: Pick<StorageWatch, 'onFailed'>): Files {
  const tell = (error: unknown): never => {
    if (errorCode(error) === 'storage_failed') watch.onFailed(error);
    throw error;
  };
  return {
    ...files,
    put: (...args) => files.put(...args).catch(tell),
    adopt: (...args) => files.adopt(...args).catch(tell),
  };
}
