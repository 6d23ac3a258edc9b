import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { watchParts } from './part-watcher.ts';

const FIELD = 'Content-Disposition: form-data; name="a"';

describe('part watcher', () => {
  it.each([
    [
      'a field and a file',
      [`${FIELD}\r\n\r\n1`, 'content-disposition: form-data; name="f"; filename="x.png"\r\n\r\nbytes'],
    ],
    ['as many parts as there may be', Array.from({ length: 5 }, () => `${FIELD}\r\n\r\n1`)],
    ['an empty part', [`${FIELD}\r\n\r\n`]],
    [
      'a name with filename* in it',
      ['Content-Disposition: form-data; name="f"; filename="a; filename*=b"\r\n\r\nx'],
    ],
    [
      'a good filename*',
      ["Content-Disposition: form-data; name=f; filename*=UTF-8''na%C3%AFve.png\r\n\r\nx"],
    ],
    ['bytes that look like heads', [`${FIELD}\r\n\r\nnone\r\n\r\n--other\r\n\r\n`]],
  ])('finds nothing wrong with %s', async (_, parts) => {
    expect(await watch(parts)).toEqual([null, null, null]);
  });

  it.each([
    ['no Content-Disposition', ['Content-Type: text/plain\r\n\r\nx'], 'no Content-Disposition'],
    ['no head at all', [`${FIELD}\r\n\r\n1`, '\r\n\r\nx'], 'no Content-Disposition'],
    ['no name', ['Content-Disposition: form-data; filename="x"\r\n\r\nx'], 'no name'],
    ['another disposition', ['Content-Disposition: attachment; name="x"\r\n\r\nx'], 'not form-data'],
    [
      'a bad filename*',
      ["Content-Disposition: form-data; name=f; filename*=UTF-8''%zz\r\n\r\nx"],
      'RFC 5987',
    ],
    [
      'a filename* that is not UTF-8',
      ["Content-Disposition: form-data; name=f; filename*=UTF-8''%ff\r\n\r\nx"],
      'RFC 5987',
    ],
    [
      'a multipart part',
      [`${FIELD}\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\nx`],
      'multipart itself',
    ],
    [
      'six parts where five may be',
      Array.from({ length: 6 }, () => `${FIELD}\r\n\r\n1`),
      'more than 5 parts',
    ],
    ['an endless head', [`X: ${'x'.repeat(20_000)}`], 'over 16 KiB'],
  ])('finds %s', async (_, parts, problem) => {
    for (const found of await watch(parts)) expect(found).toContain(problem);
  });
});

/** What is found in the body whole, in pieces of 7 bytes, and byte by byte. */
function watch(parts: string[]): Promise<(string | null)[]> {
  const body = Buffer.from(`${parts.map((part) => `--b0\r\n${part}\r\n`).join('')}--b0--\r\n`);
  return Promise.all(
    [body.length, 7, 1].map(async (size) => {
      const pieces = Array.from({ length: Math.ceil(body.length / size) }, (_, at) =>
        body.subarray(at * size, (at + 1) * size),
      );
      const source = Readable.from(pieces);
      const problem = watchParts(source, 'b0', 5);
      await once(source, 'end');
      return problem();
    }),
  );
}
