import type { Engine } from '@sheaf/engine';
import { ERRORS, type ErrorCode, SheafError } from '@sheaf/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer } from '../../src/http/server.ts';
import { openWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** What the server answers when this is how its engine answers. */
async function answerWhen(engine: Partial<Engine>, url = '/api/templates') {
  const app = await createServer({
    engine: { ...world.engine, ...engine },
    log_level: 'silent',
    request_timeout_ms: 50,
  });
  const response = await app.inject(url);
  await app.close();
  return response;
}

const failing = (error: unknown) =>
  answerWhen({
    templates: () => {
      throw error;
    },
  });

describe('errors', () => {
  it.each(Object.keys(ERRORS) as ErrorCode[])('%s is answered as the table of errors says', async (code) => {
    const response = await failing(
      new SheafError(code, 'What happened.', { file: '/root/secret', hint: 'do this' }),
    );
    const { status, means } = ERRORS[code];
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toBe('application/problem+json');
    expect(response.json()).toMatchObject({ code, status, title: means, type: `/docs/errors#${code}` });
    // What broke within is for the log; where something is, is for nobody who may not know that it is.
    if (status === 500 || code === 'not_found')
      expect(response.body).not.toMatch(/secret|do this|What happened/);
    else expect(response.json()).toMatchObject({ detail: 'What happened.', hint: 'do this' });
    if (status === 503) expect(response.headers['retry-after']).toBe('5');
  });

  it('are known by their code, whichever copy of the package threw them', async () => {
    const error = Object.assign(new Error('Elsewhere.'), {
      code: 'wrong_status',
      details: { current_status: 'draft' },
    });
    const response = await failing(error);
    expect([response.statusCode, response.json().current_status]).toEqual([409, 'draft']);
  });

  it.each([
    ['an error', new Error('the secret of /root/x.ts:5')],
    ['an error of the system', Object.assign(new Error('the secret'), { code: 'ENOENT' })],
    [
      'an error that says it is the client’s fault',
      Object.assign(new Error('the secret'), { statusCode: 400 }),
    ],
    ['a text', 'the secret'],
    ['nothing', undefined],
  ])('%s that nobody foresaw: internal, without a word of it', async (_, error) => {
    const response = await failing(error);
    expect([response.statusCode, response.json().code]).toEqual([500, 'internal']);
    expect(response.body).not.toMatch(/secret|\.ts|stack/);
  });

  it('an engine that does not answer in time: store_unavailable', async () => {
    const response = await answerWhen({ list: () => new Promise(() => undefined) }, '/api/batches');
    expect([response.statusCode, response.json().code]).toEqual([503, 'store_unavailable']);
  });

  it('keep the words of the frame whatever the details say', async () => {
    const response = await failing(
      new SheafError('wrong_status', 'No.', { status: 200, code: 'x', title: 'x', type: 'x' }),
    );
    expect(response.json()).toMatchObject({
      status: 409,
      code: 'wrong_status',
      type: '/docs/errors#wrong_status',
    });
  });
});
