import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The folder of one torture, and what lies in it. */
export type Place = {
  folder: string;
  /** Of the server. */
  data: string;
  /** Copies of the database as a kill left it. */
  image: string;
  /** What the processes that run items wrote. */
  ledger: string;
  /** What the clients asked, and what they were answered. */
  acks: string;
  /** What the servers said. */
  log: string;
};

export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-torture-'));
  const data = join(folder, 'data');
  const image = join(folder, 'image');
  mkdirSync(data);
  mkdirSync(image);
  return {
    folder,
    data,
    image,
    ledger: join(folder, 'ledger.txt'),
    acks: join(folder, 'acks.jsonl'),
    log: join(folder, 'server.log'),
  };
}
