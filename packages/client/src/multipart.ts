/** A file to become an item. In Node, `fs.openAsBlob` reads it only while it is sent. */
export type NewFile = { name: string; content: Blob };

/**
 * A multipart body (RFC 7578) that is written while it is sent, with nothing held but the piece at
 * hand.
 *
 * @param onBytes Told of each piece of a file when it is taken to be sent.
 */
export function streamFiles(
  files: readonly NewFile[],
  onBytes: (bytes: number) => void,
): { body: ReadableStream<Uint8Array>; headers: Record<string, string> } {
  const boundary = `sheaf-${crypto.randomUUID()}`;
  const pieces = write(files, boundary, onBytes);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await pieces.return();
    },
  });
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } };
}

async function* write(
  files: readonly NewFile[],
  boundary: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void> {
  const encoder = new TextEncoder();
  for (const { name, content } of files) {
    const type = content.type === '' ? 'application/octet-stream' : content.type;
    const disposition = `form-data; name="files"; filename="${escapeName(name)}"`;
    yield encoder.encode(
      `--${boundary}\r\ncontent-disposition: ${disposition}\r\ncontent-type: ${type}\r\n\r\n`,
    );
    const reader = content.stream().getReader();
    try {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        onBytes(piece.value.byteLength);
        yield piece.value;
      }
    } finally {
      reader.releaseLock();
    }
    yield encoder.encode('\r\n');
  }
  yield encoder.encode(`--${boundary}--\r\n`);
}

/** As browsers write a file name in a multipart header (WHATWG HTML, "multipart/form-data encoding"). */
function escapeName(name: string): string {
  return name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22');
}
