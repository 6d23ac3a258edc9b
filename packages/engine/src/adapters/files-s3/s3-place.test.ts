import { describe, expect, test } from 'vitest';
import { parseS3Url, resolveS3Place, type S3Place } from './s3-place.ts';

const resolve = (text: string) => resolveS3Place(parseS3Url(text));

function problemOf(read: () => unknown): { code: string; message: string } {
  try {
    read();
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('It was taken.');
}

describe('the place of a bucket', () => {
  test.each([
    ['s3://pictures', { bucket: 'pictures', prefix: '', endpoint: null, region: null, path_style: false }],
    ['s3://pictures/', { prefix: '' }],
    ['s3://pictures/a/b', { prefix: 'a/b/' }],
    ['s3://pictures/a/b/', { prefix: 'a/b/' }],
    ['s3://pictures/a/%2e%2e/%2e%2e/b', { prefix: 'b/' }],
    ['s3://pictures?region=eu-central-1', { region: 'eu-central-1', path_style: false }],
    ['s3://my.pictures/?path_style=true', { bucket: 'my.pictures', path_style: true }],
    // A server of one's own takes any region, and has no host name for each bucket.
    [
      's3://pictures?endpoint=http://127.0.0.1:9000',
      { endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', path_style: true },
    ],
    ['s3://pictures?endpoint=https://s3.example.org&path_style=false', { path_style: false }],
  ])('%s is understood', (text, expected) => {
    expect(resolve(text)).toMatchObject(expected);
  });

  test.each([
    ['pictures', /no URL/],
    ['https://pictures.s3.amazonaws.com', /start with s3/],
    ['s3://key@pictures', /credentials/],
    ['s3://pictures:9000', /port/],
    ['s3://pictures#a', /port or a #/],
    ['s3://pictures?regoin=eu', /did you mean region/],
    ['s3://pictures?path_style=yes', /true or false/],
    ['s3://pictures?region=EU%20central', /region/],
    ['s3://pi', /3 to 63/],
    ['s3://', /3 to 63/],
    ['s3://pictures/a//b', /single slashes/],
    ['s3://pictures/a%2Fb%20c', /single slashes/],
    ['s3://pictures/%', /broken %/],
    ['s3://pictures?endpoint=ftp://host', /endpoint/],
    ['s3://pictures?endpoint=http://key:word@host', /endpoint/],
    ['s3://pictures?endpoint=http://host/?a=b', /endpoint/],
  ])('%s is refused', (text, why) => {
    const { code, message } = problemOf(() => resolve(text));
    expect(code).toBe('bad_config');
    expect(message).toMatch(why);
  });

  test.each([
    's3://AKIAKEY:verysecret@pictures/a',
    's3://pictures/a?secret=verysecret',
    's3://pictures/a#verysecret',
    's3://pictures?endpoint=http://key:verysecret@host',
  ])('says nothing of a secret in %s', (text) => {
    expect(problemOf(() => resolve(text)).message).not.toContain('verysecret');
  });

  test('given in parts, no prefix leads out of itself', () => {
    for (const prefix of ['..', 'a/../b', '.', 'a/./b', 'a\\b', 'a b', 'ä']) {
      const place: S3Place = { bucket: 'pictures', prefix };
      expect(problemOf(() => resolveS3Place(place)).code).toBe('bad_config');
    }
    expect(resolveS3Place({ bucket: 'pictures', prefix: '/a/' }).prefix).toBe('a/');
  });
});
