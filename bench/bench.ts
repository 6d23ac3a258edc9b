/** What one run of a side reached, by name: rates in items a second, times in milliseconds, sizes in bytes. */
export type Figures = Record<string, number>;

/** One way to do the work. Each run has a fresh process and an empty folder. */
export type Side = (run: { size: number; folder: string }) => Promise<Figures>;

/** A line of the final table. */
export type Line = {
  label: string;
  ours: string;
  against: string;
  floor: string;
  /** Null when the line is only for reading. */
  ok: boolean | null;
};

export type Median = (side: string, figure: string) => number;

/** A comparison: its sides run one after the other, again and again, so that the machine's noise hits all. */
export type Bench = {
  name: string;
  about: string;
  size: { full: number; quick: number };
  rounds: { full: number; quick: number };
  sides: Record<string, Side>;
  judge(median: Median): Line[];
};

/** A rate of ours that has to reach a share of another one; null where the share is only for reading. */
export function shareLine(options: {
  label: string;
  ours: number;
  other: { name: string; rate: number };
  floor_percent: number | null;
}): Line {
  const { label, ours, other, floor_percent: floor } = options;
  const percent = Math.round((ours / other.rate) * 100);
  return {
    label,
    ours: `${rate(ours)}/s`,
    against: `${other.name} ${rate(other.rate)}/s: ${percent} %`,
    floor: floor === null ? '' : `${floor} %`,
    ok: floor === null ? null : percent >= floor,
  };
}

/** A figure that must stay below a limit. */
export function limitLine(options: { label: string; value: number; limit: number; unit: string }): Line {
  const { label, value, limit, unit } = options;
  return {
    label,
    ours: `${round(value)} ${unit}`,
    against: '',
    floor: `< ${limit} ${unit}`,
    ok: value < limit,
  };
}

export function rate(value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en') : String(round(value));
}

function round(value: number): number {
  return Number(value.toPrecision(value < 10 ? 2 : 3));
}
