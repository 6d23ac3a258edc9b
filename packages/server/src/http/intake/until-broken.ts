/**
 * Ends a stream where it breaks instead of passing the error on, so that what came before it is kept
 * whole; `error` then says why it ended.
 */
export function untilBroken<T>(source: AsyncIterable<T>): { items: AsyncGenerator<T>; error: unknown } {
  const stream = { items: read(), error: null as unknown };
  return stream;

  async function* read(): AsyncGenerator<T> {
    try {
      yield* source;
    } catch (error) {
      stream.error = error;
    }
  }
}
