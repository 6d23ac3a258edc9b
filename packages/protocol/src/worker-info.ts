/** A process that works on batches, as it last said of itself. */
export type WorkerInfo = {
  /** A new one at each start of the process; leases name it. */
  boot: string;
  /** The machine's name and the process's number: for people. */
  name: string;
  pools: string[];
  processors: { name: string; version: string }[];
  /** Of the program. */
  version: string;
  concurrency: number;
  /** Items at work in it. */
  running: number;
  started_at: number;
  seen_at: number;
  /** Whether it was seen in the last six seconds. */
  is_alive: boolean;
};
