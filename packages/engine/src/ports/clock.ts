/** Time and chance come from outside, so that a test can replay them. */
export interface Clock {
  /** Milliseconds since 1970. In a cluster this is database time. */
  now(): number;
}

export interface Chance {
  /** A number in [0, 1). */
  random(): number;
  /** Bytes for ids and tokens. */
  bytes(count: number): Uint8Array;
}
