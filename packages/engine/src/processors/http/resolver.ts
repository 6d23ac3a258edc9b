import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { permanent } from '../../define-processor.ts';
import { isPublicAddress } from './public-address.ts';

export type Address = { address: string; family: number };

/** Turns a host name into addresses. */
export type Lookup = (host: string) => Promise<readonly Address[]>;

const KEEP_MS = 10_000;
const MAX_KEPT = 1_000;

/**
 * Finds the addresses a URL may be called at. All of a name's addresses must be public, since the
 * system may pick any; an address that stands in the URL itself is checked the same way. The caller
 * connects to exactly these addresses, so a name that changes its mind afterwards gains nothing.
 *
 * @param allowed Hosts (`name` or `name:port`) that may lie anywhere.
 * @throws A permanent `address_not_allowed`.
 */
export function createResolver(
  allowed: readonly string[],
  find: Lookup = systemLookup,
): (url: URL) => Promise<readonly Address[]> {
  const known = new Map<string, { until: number; addresses: Promise<readonly Address[]> }>();

  return async function resolve(url) {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const family = isIP(host);
    const addresses = family === 0 ? await addressesOf(host) : [{ address: host, family }];
    if (isAllowed(url, allowed)) return addresses;
    const inside = addresses.find(({ address }) => !isPublicAddress(address));
    if (inside !== undefined || addresses.length === 0) {
      throw permanent(
        `${host} is not a public address${inside === undefined ? '' : ` (${inside.address})`}; the operator can allow it with allow_hosts.`,
        'address_not_allowed',
      );
    }
    return addresses;
  };

  function addressesOf(host: string): Promise<readonly Address[]> {
    const kept = known.get(host);
    if (kept !== undefined && kept.until > performance.now()) return kept.addresses;
    if (known.size >= MAX_KEPT) known.clear();
    const addresses = find(host);
    known.set(host, { until: performance.now() + KEEP_MS, addresses });
    addresses.catch(() => known.delete(host));
    return addresses;
  }
}

function isAllowed(url: URL, allowed: readonly string[]): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  return allowed.some(
    (entry) => entry.toLowerCase() === url.hostname || entry.toLowerCase() === `${url.hostname}:${port}`,
  );
}

function systemLookup(host: string): Promise<Address[]> {
  return lookup(host, { all: true });
}
