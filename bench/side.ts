/** One run of one side of one bench, in a process of its own: `side.ts <family> <bench> <side> <size> <folder>`. */
import { benchesOf } from './benches.ts';

const [family, name, side = '', size, folder = ''] = process.argv.slice(2);
const benches = await benchesOf(family === 'cluster' ? 'cluster' : 'embedded');
const run = benches.find((bench) => bench.name === name)?.sides[side];
if (run === undefined) throw new Error(`There is no ${name} ${side}.`);
const figures = await run({ size: Number(size), folder });
if (process.send === undefined) console.log(figures);
else process.send(figures, () => process.disconnect());
