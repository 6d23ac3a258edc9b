/** Says that a Store and the reference model do not agree; the message is all there is to it. */
export function disagree(message: string): never {
  throw new Error(`Store and model disagree: ${message}`);
}

/** Compares what the Store says with what the model expects, value by value, in JSON. */
export function agree(what: string, said: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(said), JSON.stringify(expected)];
  if (a !== b) disagree(`${what}: the Store says ${a}, the model ${b}`);
}
