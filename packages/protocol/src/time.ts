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
