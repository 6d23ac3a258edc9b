import { permanent, type WorkContext, type WorkItem } from '@sheaf/engine/processor';

/** The file of an item, for processors that need one. */
export function requireFile(item: WorkItem<unknown>): NonNullable<WorkItem['file']> {
  if (item.file) return item.file;
  throw permanent('this item has no file: add it with a picture', 'input_invalid');
}

/** Reports what every picture processor reports, and says when only a part of the file was used. */
export function reportPicture(
  { log, metric }: Pick<WorkContext, 'log' | 'metric'>,
  picture: { pixels: number; input_bytes: number; output_bytes: number; frames: number },
): void {
  metric('input_bytes', picture.input_bytes);
  metric('output_bytes', picture.output_bytes);
  metric('pixels', picture.pixels);
  if (picture.frames > 1) log(`The file holds ${picture.frames} pictures; the first one was used.`);
}

/** Resident memory of a child at its largest picture, with a margin: 50 megapixels with transparency, mixed and written as WebP, take 1.3 GiB. */
export const PICTURE_MEMORY_BYTES = 2_147_483_648;
