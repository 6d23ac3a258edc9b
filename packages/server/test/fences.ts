/** The fenced blocks of a language in a page, in their order. */
export function fences(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)]
    .filter(([, tag]) => tag === language)
    .map(([, , body]) => body ?? '');
}
