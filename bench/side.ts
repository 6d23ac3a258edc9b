/** One run of one side of one bench, in a process of its own: `side.ts <bench> <side> <size> <folder>`. */
import { BENCHES } from './cases/index.ts';

const [name, side = '', size, folder = ''] = process.argv.slice(2);
const run = BENCHES.find((bench) => bench.name === name)?.sides[side];
if (run === undefined) throw new Error(`There is no ${name} ${side}.`);
const figures = await run({ size: Number(size), folder });
if (process.send === undefined) console.log(figures);
else process.send(figures, () => process.disconnect());
