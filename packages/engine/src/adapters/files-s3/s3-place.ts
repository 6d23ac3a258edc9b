import { nearest, SheafError } from '@sheaf/protocol';

/** Where in which bucket the bytes lie. */
export type S3Place = {
  bucket: string;
  /**
   * Start of every key, so that a bucket can be shared; stored with one slash at its end.
   *
   * @default '' (the whole bucket)
   */
  prefix?: string;
  /** Address of the server, as `http://127.0.0.1:9000`. Without one it is Amazon's, found by the region. */
  endpoint?: string;
  /** @default What the environment or the profile says; with an endpoint `us-east-1`, which most servers ignore. */
  region?: string;
  /**
   * Whether the bucket stands in the path (`host/bucket/key`), not in the name of the host.
   *
   * @default true with an endpoint, else false
   */
  path_style?: boolean;
};

export type ResolvedS3Place = {
  bucket: string;
  prefix: string;
  endpoint: string | null;
  region: string | null;
  path_style: boolean;
};

const SETTINGS = ['endpoint', 'region', 'path_style'];

/**
 * Reads `s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=eu-central-1&path_style=true`.
 *
 * @throws bad_config. Its message never holds what stands before an `@` or behind the `?`: a secret
 * may have got there by mistake.
 */
export function parseS3Url(text: string): S3Place {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw wrong(text, 'is no URL; write s3://bucket/prefix', error);
  }
  if (url.protocol !== 's3:') throw wrong(text, 'does not start with s3://');
  if (url.username !== '' || url.password !== '') {
    throw wrong(text, 'holds credentials; give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  if (url.port !== '' || url.hash !== '') {
    throw wrong(text, 'has a port or a #; the address of a server goes into ?endpoint=');
  }
  const place: S3Place = { bucket: url.hostname, prefix: decoded(url.pathname, text) };
  for (const [name, value] of url.searchParams) {
    if (name === 'endpoint') place.endpoint = value;
    else if (name === 'region') place.region = value;
    else if (name === 'path_style') place.path_style = truth(value, text);
    else {
      const [known] = nearest(name, SETTINGS);
      throw wrong(
        text,
        `has an unknown setting${known === undefined ? '' : ` (did you mean ${known}?)`}; known are ${SETTINGS.join(', ')}`,
      );
    }
  }
  return place;
}

/** @throws bad_config when a part cannot be. */
export function resolveS3Place(place: S3Place): ResolvedS3Place {
  const { bucket, endpoint, region } = place;
  const shown = `s3://${bucket}/${place.prefix ?? ''}`;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw wrong(shown, 'has no bucket name of 3 to 63 small letters, digits, dots and dashes');
  }
  if (endpoint !== undefined && !isEndpoint(endpoint)) {
    throw wrong(shown, 'has an endpoint that is no plain http:// or https:// address without credentials');
  }
  if (region !== undefined && !/^[a-z0-9-]{1,40}$/.test(region)) {
    throw wrong(shown, 'has a region that is no word like eu-central-1');
  }
  return {
    bucket,
    prefix: resolvePrefix(place.prefix ?? '', shown),
    endpoint: endpoint ?? null,
    region: region ?? (endpoint === undefined ? null : 'us-east-1'),
    path_style: place.path_style ?? endpoint !== undefined,
  };
}

function resolvePrefix(prefix: string, shown: string): string {
  const words = prefix.replace(/^\/+|\/+$/g, '').split('/');
  if (words.length === 1 && words[0] === '') return '';
  // Servers and what stands before them may take such a path apart in their own way.
  if (words.some((word) => !/^[\w.~-]+$/.test(word) || /^\.+$/.test(word))) {
    throw wrong(shown, 'has a prefix with more than letters, digits, and _ . ~ - between single slashes');
  }
  return `${words.join('/')}/`;
}

function isEndpoint(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return (
    url !== null &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === '' &&
    url.password === '' &&
    url.search === '' &&
    url.hash === ''
  );
}

function decoded(path: string, text: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    throw wrong(text, 'has a broken % in its path', error);
  }
}

function truth(value: string, text: string): boolean {
  if (value !== 'true' && value !== 'false') throw wrong(text, 'has a path_style that is not true or false');
  return value === 'true';
}

function wrong(text: string, problem: string, cause?: unknown): SheafError {
  const shown = (text.split(/[?#]/, 1)[0] ?? '').replace(/\/\/.*@/, '//…@');
  return new SheafError('bad_config', `The place of the files "${shown}" ${problem}.`, {}, cause);
}
