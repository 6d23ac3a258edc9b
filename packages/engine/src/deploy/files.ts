import { join } from 'node:path';
import { createDiskFiles } from '../adapters/files-disk/disk-files.ts';
import type { ResolvedOptions } from '../options.ts';
import type { Files } from '../ports/files.ts';
import type { DeploymentOptions } from './deployment.ts';
import { needing } from './needing.ts';

/**
 * Where bytes lie: in a bucket, in a folder that was named, or in the engine's own.
 *
 * @param options.isShared Whether other processes keep theirs in the same place.
 * @returns With the folder, which a bucket has not.
 */
export async function openFiles(
  { files: place }: ResolvedOptions,
  { folder, opened }: DeploymentOptions,
  { isShared }: { isShared: boolean },
): Promise<{ files: Files; root: string | null }> {
  if (place?.startsWith('s3://') === true) {
    const { createS3Files } = await needing(
      ['@aws-sdk/client-s3', '@aws-sdk/lib-storage'],
      import('../adapters/files-s3/s3-files.ts'),
    );
    const files = createS3Files({ place, cache_dir: join(folder, 'cache') });
    opened.defer(() => files.close());
    await files.checkBucket();
    return { files, root: null };
  }
  const root = place ?? join(folder, 'files');
  return { files: createDiskFiles({ root, shared: isShared }), root };
}
