import { randomUUID } from 'node:crypto';

/** A bucket on a server of its own, which speaks S3 over HTTP on this machine. */
export type TemporaryBucket = {
  /** Address of the server. */
  endpoint: string;
  bucket: string;
  /** The place with its endpoint, as an operator would write it. */
  url: string;
  credentials: { access_key_id: string; secret_access_key: string };
  close(): Promise<void>;
};

/** @param options.folder Keeps the objects there, not in memory. */
export async function openTemporaryBucket({ folder }: { folder?: string } = {}): Promise<TemporaryBucket> {
  // Only who wants a bucket needs a server for one.
  const { startFauxqs } = await import('fauxqs');
  const server = await startFauxqs({
    port: 0,
    host: '127.0.0.1',
    logger: false,
    ...(folder === undefined ? {} : { s3StorageDir: folder }),
  });
  const bucket = `sheaf-${randomUUID()}`;
  server.createBucket(bucket);
  const endpoint = `http://127.0.0.1:${server.port}`;
  return {
    endpoint,
    bucket,
    url: `s3://${bucket}/files?endpoint=${endpoint}`,
    credentials: { access_key_id: 'test', secret_access_key: 'test-secret' },
    close: () => server.stop(),
  };
}
