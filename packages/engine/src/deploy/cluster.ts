import type { ResolvedOptions } from '../options.ts';
import { agreeOnFiles } from './agree-on-files.ts';
import type { Deployment, DeploymentOptions } from './deployment.ts';
import { openFiles } from './files.ts';
import { needing } from './needing.ts';

/**
 * One process of many on the same PostgreSQL: it holds the truth, the turns and the news; a bucket or
 * a folder that all share holds the bytes. There is no leader and nothing to agree on.
 *
 * @throws dependency_missing without the packages it needs; store_unavailable when PostgreSQL does
 *   not answer; bad_config when the files of the others cannot be seen from here.
 */
export async function openCluster(
  options: ResolvedOptions & { database: string },
  place: DeploymentOptions,
): Promise<Deployment> {
  const { database: url, pools } = options;
  const { boot, opened } = place;
  const [{ createPgBossDispatch }, { openPostgresStore }, { createPostgresEvents }, { createPostgresClock }] =
    await needing(
      ['pg', 'pg-boss'],
      Promise.all([
        import('../adapters/dispatch-pgboss/pgboss-dispatch.ts'),
        import('../adapters/store-sql/postgres.ts'),
        import('../adapters/events-postgres/postgres-events.ts'),
        import('../adapters/clock-postgres/postgres-clock.ts'),
      ]),
    );
  const clock = await createPostgresClock({ url });
  opened.defer(() => clock.close());
  const dispatch = await createPgBossDispatch({ url, pools, onError: options.onError });
  opened.defer(() => dispatch.close());
  const store = await openPostgresStore({ url, offer: dispatch.offerIn });
  opened.defer(() => store.close());
  const events = await createPostgresEvents({ url, boot, store, clock });
  opened.defer(() => events.close());
  const { files, root } = await openFiles(options, place, { isShared: true });
  await agreeOnFiles(store, clock, { root, name: options.files ?? root ?? '' });
  return { store, dispatch, files, events, clock, isShared: true };
}
