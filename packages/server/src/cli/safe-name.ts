const MOST_BYTES = 200;

/** Names Windows keeps for devices, whatever their ending. */
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;

/**
 * A name from outside as the name of a file, on any system: no folders, nothing invisible, no name
 * of a device, at most 200 bytes with its ending kept. Never empty, never `.` or `..`.
 */
export function safeName(name: string): string {
  const plain = name
    .toWellFormed()
    .normalize('NFC')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, '')
    .replace(/[\\/:*?"<>|]/g, '_')
    .replace(/[. ]+$/, '')
    .trim();
  const named = plain === '' ? '_' : RESERVED.test(plain) ? `_${plain}` : plain;
  return shorten(named, MOST_BYTES);
}

/**
 * Gives each name once: the second `a.png` of a folder becomes `a (2).png`. Names that differ in
 * their case only are the same file on many systems.
 */
export function createUniqueNames(): (folder: string, name: string) => string {
  const taken = new Map<string, number>();
  const claim = (folder: string, name: string, suffix: number): string => {
    const [stem, ending] = split(name);
    const tried = suffix === 1 ? name : `${shorten(stem, MOST_BYTES - 30)} (${suffix})${ending}`;
    const key = `${folder}/${tried}`.toLowerCase();
    if (!taken.has(key)) {
      taken.set(key, 1);
      return tried;
    }
    const next = Math.max(suffix, taken.get(key) ?? 1) + 1;
    taken.set(key, next);
    return claim(folder, name, next);
  };
  return (folder, name) => claim(folder, name, 1);
}

function shorten(name: string, most: number): string {
  if (Buffer.byteLength(name) <= most) return name;
  const [stem, ending] = split(name);
  const kept = Buffer.byteLength(ending) < most / 2 ? ending : '';
  const room = most - Buffer.byteLength(kept);
  // Cut between whole letters, not inside of one.
  let short = '';
  let size = 0;
  for (const letter of stem) {
    size += Buffer.byteLength(letter);
    if (size > room) break;
    short += letter;
  }
  return `${short}${kept}`;
}

function split(name: string): [stem: string, ending: string] {
  const at = name.lastIndexOf('.');
  return at > 0 ? [name.slice(0, at), name.slice(at)] : [name, ''];
}
