/** Handlers in flight, for the bare loops and for Sheaf. */
export const IN_FLIGHT = 16;

export type Input = { n: number };

/** The input of an item, as everybody gets it. */
export function inputOf(n: number): Input {
  return { n };
}

/** The work that is none: awaited, it reads its input and answers something to keep. */
export async function doNothing(input: Input): Promise<Input> {
  return { n: input.n + 1 };
}
