import { SheafError } from '@sheaf/protocol';

/** Turns the complaint of a missing optional package into one that says what to do. */
export async function needing<T>(packages: readonly string[], loading: Promise<T>): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new SheafError(
      'dependency_missing',
      `A package is missing that this needs: npm install ${packages.join(' ')}`,
      { packages: [...packages] },
      error,
    );
  }
}
