import type { Batch, Cause, Progress, Wire } from '@sheaf/protocol';
import { DEFAULT_POLICIES } from '@sheaf/protocol';
import { describe, expect, it } from 'vitest';
import { against, type Snapshot } from '../watch.ts';
import { endText, retryCommand } from './batch-lines.ts';
import { createPlainLog } from './plain-log.ts';
import { widthOf } from './width.ts';
import { linesOf } from './work-view.ts';

const AT = '2026-11-22T22:10:01.000Z';

function makeBatch(fields: Partial<Wire<Batch>> = {}): Wire<Batch> {
  return {
    id: 'bat_01j9x40000000000000000000',
    space: 'default',
    name: 'photos',
    description: '',
    status: 'running',
    pause_reason: null,
    paused_by: null,
    round: 1,
    pool: 'default',
    processor: 'thumbnails',
    processor_version: '1.4.2',
    config: {},
    template_id: null,
    customer_prefix: null,
    batch_date: '2026-11-22',
    batch_counter: 1,
    base_directory_name: '2026-11-22_batch-1',
    session_id: null,
    labels: {},
    metadata: {},
    external_ids: {},
    open: false,
    total_items: 1_204,
    pending_items: 346,
    running_items: 16,
    completed_items: 839,
    failed_items: 3,
    cancelled_items: 0,
    skipped_items: 0,
    total_bytes: 3_400_000_000,
    done_bytes: 2_400_000_000,
    percent_complete: 69.9,
    concurrency: 16,
    priority: 5,
    policies: { ...DEFAULT_POLICIES },
    merged_into: null,
    created_by: 'anonymous',
    created_at: AT,
    updated_at: AT,
    started_at: AT,
    paused_at: null,
    completed_at: null,
    ran_ms: 16_000,
    metrics: {},
    event_seq: 3,
    next_start_at: null,
    waiting_for: null,
    allowed_actions: [],
    ...fields,
  };
}

function makeProgress(fields: Partial<Wire<Progress>> = {}): Wire<Progress> {
  return {
    id: 'bat_01j9x40000000000000000000',
    name: 'photos',
    status: 'running',
    total: 1_204,
    completed: 839,
    failed: 3,
    percent_complete: 69.9,
    estimated_time_remaining_ms: { low: 6_000, high: 7_000 },
    items_per_second: 52,
    bytes_per_second: 18_000_000,
    running: [
      { seq: 1, name: 'IMG_8841.jpg', step: 'encode', percent: 70 },
      { seq: 2, name: 'IMG_8842.jpg', step: 'read', percent: null },
      { seq: 3, name: 'IMG_8843.jpg', step: null, percent: null },
    ],
    ...fields,
  };
}

const heic: Wire<Cause> = {
  cause: 'unsupported_format: HEIC not enabled',
  code: 'unsupported_format',
  message: 'HEIC not enabled',
  count: 3,
  first_at: AT,
  last_at: AT,
  samples: ['IMG_0007.heic', 'IMG_0031.heic', 'IMG_0100.heic'],
};

function makeSnapshot(batch: Partial<Wire<Batch>> = {}, causes: Wire<Cause>[] = []): Snapshot {
  return { batch: makeBatch(batch), progress: makeProgress(), causes, isStale: false };
}

/** All done, and open for more. */
function makeWaiting(): Snapshot {
  const done = { pending_items: 0, running_items: 0, completed_items: 1_204, failed_items: 0 };
  const snapshot = makeSnapshot({ ...done, open: true, percent_complete: 100 });
  const progress = makeProgress({ running: [], estimated_time_remaining_ms: null, items_per_second: 0 });
  return { ...snapshot, progress };
}

/** Nothing runs, and nothing may start for a while. */
function makeHeldUp(): Snapshot {
  const held = { pending_items: 9, running_items: 0, completed_items: 1_195, failed_items: 0 };
  const waitingFor = 'At its rate limit of 60 in 1 h; goes on in 42 min.';
  const snapshot = makeSnapshot({ ...held, waiting_for: waitingFor, next_start_at: AT });
  const progress = makeProgress({ running: [], estimated_time_remaining_ms: null, items_per_second: 0 });
  return { ...snapshot, progress };
}

const plain = { paint: (_style: string, text: string) => text, width: () => 120 };

describe('a batch at work on a terminal', () => {
  it('shows upload, work, what runs, what failed', () => {
    const upload = {
      files: 600,
      total_files: 1_204,
      bytes: 1_700_000_000,
      total_bytes: 3_400_000_000,
      bytes_per_second: 41_000_000,
      isDone: false,
    };
    expect(linesOf({ upload, snapshot: makeSnapshot({}, [heic]), fetched: null }, plain, '^C stops')).toEqual(
      [
        '  ⇡ Upload   █████████████░░░░░░░░░░░░░ 600/1,204  41 MB/s',
        '  ◐ Run      █████████████████▒░░░░░░░░ 842/1,204 69%  52/s 18 MB/s  ~7 s left  3 failed',
        '    running  IMG_8841.jpg encode 70% · IMG_8842.jpg read · +1',
        '    failed   3 × unsupported_format  HEIC not enabled (IMG_0007.heic, IMG_0031.heic, …)',
        '^C stops',
      ],
    );
  });

  it('says why a batch is paused, and shows no pace and no time left then', () => {
    const paused = makeSnapshot({
      status: 'paused',
      pause_reason: 'failure_budget',
      running_items: 0,
      completed_items: 4,
      failed_items: 2,
    });
    const [line] = linesOf(
      { upload: null, snapshot: { ...paused, progress: makeProgress({ running: [] }) }, fetched: null },
      plain,
      '',
    );
    expect(line).toContain('‖ Paused by failure budget (33 % failed)');
    expect(line).not.toMatch(/left|\/s/);
  });

  it('shows no escape that came with a name or a message', () => {
    const evil = '\u001b]0;owned\u0007\u001b[2J\u202ename';
    const snapshot = makeSnapshot({}, [{ ...heic, code: evil, message: evil, samples: [evil] }]);
    snapshot.progress.running = [{ seq: 1, name: evil, step: evil, percent: 1 }];

    expect(linesOf({ upload: null, snapshot, fetched: null }, plain, '').join('')).not.toMatch(
      /[\p{Cc}\u202e]/u,
    );
  });

  it('counts against all that is coming while files are still on their way', () => {
    const filling = makeSnapshot({
      total_items: 6,
      pending_items: 0,
      running_items: 0,
      completed_items: 6,
      failed_items: 0,
      percent_complete: 100,
    });
    const [line] = linesOf({ upload: null, snapshot: against(filling, 306), fetched: null }, plain, '');
    expect(line).toContain('6/306 1%');
    expect(line).not.toContain('left');
    expect(against(filling, 6)).toBe(filling);
  });

  it('says that an open batch waits for more items, and how to end that', () => {
    expect(linesOf({ upload: null, snapshot: makeWaiting(), fetched: null }, plain, '^C stops')).toEqual([
      '  ○ Waiting for more items   ██████████████████████████ 1,204/1,204 100%',
      '    no more? sheaf seal bat_01j9x40000000000000000000',
      '^C stops',
    ]);
  });

  it('says why nothing runs of a batch that may start nothing for a while', () => {
    const [line] = linesOf({ upload: null, snapshot: makeHeldUp(), fetched: null }, plain, '');
    expect(line).toContain('  ○ Waiting: At its rate limit of 60 in 1 h; goes on in 42 min.  ');
  });

  it('waits for nobody where the upload is its own', () => {
    const snapshot = against(makeWaiting(), 1_204);
    const [line] = linesOf({ upload: null, snapshot, fetched: null }, plain, '');
    expect(line).toMatch(/^ {2}◐ Run /);
  });

  it('keeps the bar within a narrow terminal', () => {
    const [line = ''] = linesOf(
      { upload: null, snapshot: makeSnapshot(), fetched: null },
      { ...plain, width: () => 60 },
      '',
    );
    expect(widthOf(line)).toBeLessThanOrEqual(80);
    expect(line).toContain('842/1,204');
  });
});

describe('a batch at work in a log', () => {
  it('keeps the state, each tenth, the first failure of a cause, and the end', () => {
    const lines: string[] = [];
    let now = 0;
    const log = createPlainLog(
      (line) => lines.push(line.replace(/^\d\d:\d\d:\d\d /, '')),
      () => now,
    );
    log.show(
      makeSnapshot({ percent_complete: 1, pending_items: 1_188, completed_items: 0, failed_items: 0 }),
    );
    log.show(
      makeSnapshot({ percent_complete: 2, pending_items: 1_164, completed_items: 24, failed_items: 0 }),
    );
    log.show(makeSnapshot({}, [heic]));
    log.show(makeSnapshot({}, [{ ...heic, count: 4 }]));
    now = 31_000;
    log.show(makeSnapshot());
    log.show(makeSnapshot({ status: 'paused', pause_reason: 'user' }));
    log.show(
      makeSnapshot({
        status: 'partially_completed',
        pending_items: 0,
        running_items: 0,
        completed_items: 1_201,
        ran_ms: 24_100,
      }),
    );
    expect(lines).toEqual([
      'running 0/1204 1% completed=0 failed=0 rate=52/s eta=7s',
      'failure unsupported_format: HEIC not enabled (IMG_0007.heic)',
      'running 842/1204 69% completed=839 failed=3 rate=52/s eta=7s',
      'running 842/1204 69% completed=839 failed=3 rate=52/s eta=7s',
      'paused reason=user 842/1204 69% completed=839 failed=3 rate=52/s',
      'partially_completed completed=1201 failed=3 took=24.1s',
    ]);
  });

  it('says of an open batch that has done all it got what it waits for', () => {
    const lines: string[] = [];
    createPlainLog((line) => lines.push(line)).show(makeWaiting());
    expect(lines).toEqual([
      expect.stringMatching(/ running waiting_for=more_items 1204\/1204 100% completed=1204 failed=0$/),
    ]);
  });

  it('says of a batch that may start nothing for a while what it waits for', () => {
    const lines: string[] = [];
    createPlainLog((line) => lines.push(line)).show(makeHeldUp());
    expect(lines).toEqual([expect.stringMatching(/ running waiting_for=rate_limit 1195\/1204 /)]);
  });
});

describe('the end of a batch', () => {
  it('gives honest figures, and a percentile only of enough items', () => {
    const batch = makeBatch({
      status: 'partially_completed',
      pending_items: 0,
      running_items: 0,
      completed_items: 1_201,
      ran_ms: 24_100,
    });
    expect(endText(batch)).toBe('Completed, 3 failed: 1,201 of 1,204 items in 24.1 s (50.0 items/s)');
    const durations = Array.from({ length: 100 }, (_, index) => (index + 1) * 10);
    expect(endText(batch, durations)).toContain('p95 0.95 s');
    expect(endText(batch, [1, 2, 3])).not.toContain('p95');
  });

  it('has no figures that would divide by nothing', () => {
    const batch = makeBatch({
      status: 'completed',
      total_items: 0,
      pending_items: 0,
      running_items: 0,
      completed_items: 0,
      failed_items: 0,
      ran_ms: 0,
    });
    expect(endText(batch)).toBe('Completed: 0 of 0 items in 0.00 s');
  });

  it('names a cause by its code, unless two causes share it', () => {
    const other = { ...heic, cause: 'unsupported_format: AVIF not enabled' };
    expect(retryCommand('@last', heic, [heic])).toBe('sheaf retry @last --cause unsupported_format');
    expect(retryCommand('@last', heic, [heic, other])).toBe(
      "sheaf retry @last --cause 'unsupported_format: HEIC not enabled'",
    );
  });
});
