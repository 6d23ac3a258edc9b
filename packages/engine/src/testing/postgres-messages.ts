/**
 * Cuts a stream of PostgreSQL's protocol into whole messages: a letter, a length that counts itself,
 * and the rest. Only the first message of a client has no letter.
 */
export function createMessageCutter({ hasStart }: { hasStart: boolean }): (chunk: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0);
  let isStarting = hasStart;
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const messages: Buffer[] = [];
    for (;;) {
      const letter = isStarting ? 0 : 1;
      if (rest.length < letter + 4) return messages;
      const length = letter + rest.readUInt32BE(letter);
      if (rest.length < length) return messages;
      messages.push(rest.subarray(0, length));
      rest = rest.subarray(length);
      isStarting = false;
    }
  };
}

/** The text of a statement that a client sends by itself (`Query`) or prepares (`Parse`); null of any other message. */
export function statementOf(message: Buffer): string | null {
  const letter = String.fromCharCode(message[0] ?? 0);
  if (letter !== 'Q' && letter !== 'P') return null;
  const from = letter === 'P' ? message.indexOf(0, 5) + 1 : 5;
  return message.toString('utf8', from, message.indexOf(0, from));
}
