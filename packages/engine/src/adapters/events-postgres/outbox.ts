import type { SheafEvent } from '@sheaf/protocol';
import { type BatchNews, bytesOf, type Message, writeMessage } from './message.ts';

/** News of this process that the others have not been told yet. */
export type Outbox = {
  add(space: string, event: SheafEvent): void;
  isEmpty(): boolean;
  /** Takes out as much as one message holds. */
  next(): Message;
  /** A message that could not be sent: what it named, everybody has to look for himself. */
  putBack(message: Message): void;
};

/** Items named of one batch in one message; who follows fast batches reads the rest. */
const MAX_ENDED = 100;

/** With news of more batches than this, reading the list of batches costs less. */
const MAX_BATCHES = 500;

export function createOutbox(boot: string): Outbox {
  const spaces = new Map<string, Map<string, BatchNews>>();
  const lost = new Set<string>();

  return {
    add(space, event) {
      // An item's own progress is seen where it runs.
      if (event.type === 'item_progress' || lost.has(space)) return;
      const batches = spaces.get(space) ?? new Map<string, BatchNews>();
      spaces.set(space, batches);
      const news = batches.get(event.batch_id) ?? noNews(event.batch_id);
      batches.set(event.batch_id, news);
      note(news, event);
      if (batches.size > MAX_BATCHES) lose(space);
    },

    isEmpty: () => spaces.size === 0 && lost.size === 0,

    next() {
      const message: Message = { boot, lost: [], spaces: {} };
      let room = MAX_BYTES - bytesOf(writeMessage(message));
      for (const space of lost) {
        room -= bytesOf(space) + QUOTES;
        if (room < 0) return message;
        message.lost.push(space);
        lost.delete(space);
      }
      for (const [space, batches] of spaces) {
        room -= bytesOf(space) + QUOTES;
        const its: BatchNews[] = [];
        for (const [id, news] of batches) {
          room -= sizeOf(news);
          if (room < 0) return message;
          message.spaces[space] = its;
          its.push(news);
          batches.delete(id);
        }
        spaces.delete(space);
      }
      return message;
    },

    putBack(message) {
      for (const space of [...message.lost, ...Object.keys(message.spaces)]) lose(space);
    },
  };

  function lose(space: string): void {
    lost.add(space);
    spaces.delete(space);
  }
}

/** PostgreSQL refuses 8,000. */
const MAX_BYTES = 7_500;

/** Around a name in JSON: quotes, a colon, brackets and a comma. */
const QUOTES = 6;

/** As many as the news have in JSON, or more. */
function sizeOf({ batch_id, ended }: BatchNews): number {
  return bytesOf(batch_id) + 30 + ended.length * 11;
}

function noNews(batchId: string): BatchNews {
  return { batch_id: batchId, first: 0, progress: false, ended: [] };
}

function note(news: BatchNews, event: SheafEvent): void {
  switch (event.type) {
    case 'batch_progress':
      news.progress = true;
      return;
    case 'batch_jobs_complete':
      for (const { job_id } of event.jobs.slice(0, MAX_ENDED - news.ended.length)) {
        news.ended.push(Number(job_id.slice(job_id.indexOf('/') + 1)));
      }
      return;
    case 'item_progress':
      return;
    default:
      news.first = news.first === 0 ? event.seq : Math.min(news.first, event.seq);
  }
}
