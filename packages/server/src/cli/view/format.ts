/** `1,204` */
export function count(number: number): string {
  return Math.round(number)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 item`, `1,204 items` */
export function plural(number: number, word: string, many = `${word}s`): string {
  return `${count(number)} ${number === 1 ? word : many}`;
}

/** `512 B`, `18 kB`, `3.4 GB`: powers of ten, as disks are sold. */
export function bytes(number: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = number;
  let unit = 0;
  // 999.5 would round up to a fourth digit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 && unit > 0 ? trimZero(value.toFixed(1)) : Math.round(value)} ${units[unit]}`;
}

/** `0.52 s`, `24.1 s`, `21 m 04 s`, `3 h 05 m` */
export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const [big, small, units] =
    seconds < 3599.5 ? [Math.round(seconds), 60, ['m', 's']] : [Math.round(seconds / 60), 60, ['h', 'm']];
  return `${count(Math.floor(big / small))} ${units[0]} ${String(big % small).padStart(2, '0')} ${units[1]}`;
}

/** `52/s`, `0.4/s` */
export function rate(perSecond: number): string {
  return `${perSecond >= 9.95 || perSecond === 0 ? count(perSecond) : trimZero(perSecond.toFixed(1))}/s`;
}

/** The time of day where the person is, `22:10:01`. */
export function clock(at: number): string {
  return new Date(at).toTimeString().slice(0, 8);
}

/** `today 22:10`, `2026-11-05 22:10`, in the person's zone. */
export function moment(at: number, now: number): string {
  const [day, today] = [new Date(at), new Date(now)].map(
    (date) =>
      `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`,
  );
  return `${day === today ? 'today' : day} ${clock(at).slice(0, 5)}`;
}

/** Whole percent; only what is finished reads 100. */
export function percent(value: number): string {
  return `${Math.floor(value)}%`;
}

/** A word as a shell takes it: quoted where it needs to be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function trimZero(text: string): string {
  return text.replace(/\.0$/, '');
}
