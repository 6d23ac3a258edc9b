import { z } from 'zod';
import { lookSchema } from '../pictures/look.ts';
import presets from './presets.json' with { type: 'json' };

/** The names of the presets that ship, the default one first. */
export const PRESET_NAMES = Object.keys(presets) as [keyof typeof presets, ...(keyof typeof presets)[]];

export type PresetName = (typeof PRESET_NAMES)[number];

const presetSchema = lookSchema.extend({ description: z.string() });

/** A look with a name. */
export type Preset = z.infer<typeof presetSchema>;

/** The preset of this name, complete with the defaults of what it leaves out. */
export function presetNamed(name: PresetName): Preset {
  return presetSchema.parse(presets[name]);
}
