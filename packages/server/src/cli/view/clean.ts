/**
 * Makes a text from outside (a name, an error, a log line) harmless for a terminal: no escape
 * sequences, no control characters, nothing that turns the direction of what follows. Line breaks
 * become spaces.
 */
export function clean(text: string): string {
  return text
    .replace(OPERATING_SYSTEM_COMMAND, '')
    .replace(ESCAPE_SEQUENCE, '')
    .replace(/\s*[\t\n\v\f\r\u2028\u2029]\s*/g, ' ')
    .replace(CONTROL, '');
}

// Titles, links, the clipboard: everything from the introducer to its end, or to the end of the text.
const OPERATING_SYSTEM_COMMAND =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed here
  /(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[\s\S]*?(?:\u0007|\u001b\\|\u009c|$)/g;

const ESCAPE_SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed here
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|\u001b[ -/]*[0-~]?/g;

// C0, C1 and the marks that reorder text (Unicode Bidirectional Algorithm, UAX #9).
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed here
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
