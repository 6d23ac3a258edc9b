import { itemId, type SheafEvent } from '@sheaf/protocol';
import { cleanText } from '../../domain/failure.ts';
import { type BatchNews, bytesOf, type ItemStep, type Message, shortStep, writeMessage } from './message.ts';

/** News of this process that the others have not been told yet. */
export type Outbox = {
  add(space: string, event: SheafEvent): void;
  isEmpty(): boolean;
  /**
   * Takes out as much as one message holds. Steps have the room that ids leave, and those that find
   * none are dropped: told later, they could come after the end of their item.
   */
  next(): Message;
  /** A message that could not be sent: the batches it named, everybody has to look for himself. */
  putBack(message: Message): void;
};

/** Items named of one batch in one message; who follows fast batches reads the rest. */
const MAX_ENDED = 100;

/** With news of more batches than this, reading the list of batches costs less. */
const MAX_BATCHES = 500;

/** More steps than one message holds. */
const MAX_STEPS = 200;

/** Characters of a step that the others see. */
const MAX_STEP = 80;

export function createOutbox(boot: string): Outbox {
  const spaces = new Map<string, Map<string, BatchNews>>();
  const lost = new Set<string>();
  const steps = new Map<string, ItemStep>();

  return {
    add(space, event) {
      if (event.type === 'item_progress') {
        const id = itemId(event.batch_id, event.seq);
        if (steps.size >= MAX_STEPS && !steps.has(id)) return;
        steps.set(id, { space, event: { ...event, step: cleanText(event.step, MAX_STEP) } });
        return;
      }
      if (lost.has(space)) return;
      const batches = spaces.get(space) ?? new Map<string, BatchNews>();
      spaces.set(space, batches);
      const news = batches.get(event.batch_id) ?? noNews(event.batch_id);
      batches.set(event.batch_id, news);
      note(news, event);
      if (batches.size > MAX_BATCHES) lose(space);
    },

    isEmpty: () => spaces.size === 0 && lost.size === 0 && steps.size === 0,

    next() {
      const message: Message = { boot, lost: [], spaces: {}, steps: [] };
      let room = takeNews(message, MAX_BYTES - bytesOf(writeMessage(message)));
      for (const step of steps.values()) {
        room -= bytesOf(JSON.stringify(shortStep(step))) + COMMA;
        if (room < 0) break;
        message.steps.push(step);
      }
      steps.clear();
      return message;
    },

    putBack(message) {
      for (const space of [...message.lost, ...Object.keys(message.spaces)]) lose(space);
    },
  };

  /** Answers the room that is left, less than none when there are more news. */
  function takeNews(message: Message, bytes: number): number {
    let room = bytes;
    for (const space of lost) {
      room -= bytesOf(space) + QUOTES;
      if (room < 0) return room;
      message.lost.push(space);
      lost.delete(space);
    }
    for (const [space, batches] of spaces) {
      room -= bytesOf(space) + QUOTES;
      const its: BatchNews[] = [];
      for (const [id, news] of batches) {
        room -= sizeOf(news);
        if (room < 0) return room;
        message.spaces[space] = its;
        its.push(news);
        batches.delete(id);
      }
      spaces.delete(space);
    }
    return room;
  }

  function lose(space: string): void {
    lost.add(space);
    spaces.delete(space);
  }
}

/** PostgreSQL refuses 8,000. */
const MAX_BYTES = 7_500;

/** Around a name in JSON: quotes, a colon, brackets and a comma. */
const QUOTES = 6;
const COMMA = 1;

/** As many as the news have in JSON, or more. */
function sizeOf({ batch_id, ended }: BatchNews): number {
  return bytesOf(batch_id) + 30 + ended.length * 11;
}

function noNews(batchId: string): BatchNews {
  return { batch_id: batchId, first: 0, progress: false, ended: [] };
}

function note(news: BatchNews, event: Exclude<SheafEvent, { type: 'item_progress' }>): void {
  switch (event.type) {
    case 'batch_progress':
      news.progress = true;
      return;
    case 'batch_jobs_complete':
      for (const { job_id } of event.jobs.slice(0, MAX_ENDED - news.ended.length)) {
        news.ended.push(Number(job_id.slice(job_id.indexOf('/') + 1)));
      }
      return;
    default:
      news.first = news.first === 0 ? event.seq : Math.min(news.first, event.seq);
  }
}
