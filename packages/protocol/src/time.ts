/** Milliseconds since 1970 (database, engine) to ISO 8601 UTC (the wire). */
export function toIso(at: number): string;
export function toIso(at: number | null): string | null;
export function toIso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}

/** ISO 8601 to milliseconds since 1970; NaN when the text is not a time. */
export function fromIso(text: string): number {
  return Date.parse(text);
}

const UNITS = [
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** A length of time in the largest unit that it is a whole number of: "1 h", "90 min", "150 s", "2500 ms". */
export function exactTime(ms: number): string {
  const [unit, size] = UNITS.find(([, each]) => ms > 0 && ms % each === 0) ?? ['ms', 1];
  return `${ms / size} ${unit}`;
}
