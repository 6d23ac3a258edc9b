import { spawnSync } from 'node:child_process';
import { ERRORS } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { openHostedFolder } from './engine/hosted.ts';
import { countsOf, numbered } from './engine/world.ts';

const traces =
  spawnSync('strace', ['-qq', '-e', 'inject=fsync:error=EIO', 'true'], { stdio: 'ignore' }).status === 0;
if (!traces) console.warn('Failing fsyncs are not tested: there is no strace here, or it may not trace.');

/** Lets every fsync from the n-th on fail, as a dying disk does. */
const failingFrom = (call: number) => [
  'strace',
  '-f',
  '-qq',
  '-o',
  '/dev/null',
  '-e',
  'trace=fsync,fdatasync',
  '-e',
  `inject=fsync,fdatasync:error=EIO:when=${call}+`,
];

describe.skipIf(!traces)('a disk that fails to keep a write', () => {
  it.each([1, 4, 9, 25, 60])(
    'at fsync %i stops the engine at once, and a restart has lost nothing',
    async (call) => {
      const hosted = openHostedFolder();
      await hosted.make({
        processor: 'probe',
        items: numbered(400),
        // Long enough for sixty commits.
        config: { wait_ms: 60 },
        max_attempts: 1,
      });
      const dying = hosted.start({ command: failingFrom(call) });
      const exit = await dying.ended();
      // The call that met it, whichever it was, has said so.
      expect(dying.lines.find((line) => line.say === 'failed')?.code).toBe('storage_failed');
      expect(exit).toBe(ERRORS.storage_failed.exit);
      const before = await hosted.look();
      expect(before.batch.total_items).toBe(400);
      expect(before.batch.failed_items).toBe(0);
      const completed = before.items.filter(({ status }) => status === 'completed');

      const healthy = hosted.start();
      await healthy.finished();
      const after = await hosted.look();
      expect(countsOf(after.batch)).toEqual({ status: 'completed', completed_items: 400 });
      for (const item of completed) {
        expect(after.items.find(({ seq }) => seq === item.seq)?.finished_at).toBe(item.finished_at);
      }
    },
  );
});
