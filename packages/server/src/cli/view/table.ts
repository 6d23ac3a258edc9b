import { fit, pad, widthOf } from './width.ts';

export type Column = { title: string; side?: 'left' | 'right'; most?: number };

/** Rows under their titles, as wide as they need to be; the last column is not filled up. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map(({ title, most = Number.POSITIVE_INFINITY }, index) =>
    Math.min(most, Math.max(widthOf(title), ...rows.map((row) => widthOf(row[index] ?? '')))),
  );
  const line = (cells: readonly string[]) =>
    columns
      .map(({ side = 'left' }, index) => {
        const cell = fit(cells[index] ?? '', widths[index] ?? 0);
        const isLast = index === columns.length - 1 && side === 'left';
        return isLast ? cell : pad(cell, widths[index] ?? 0, side);
      })
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}
