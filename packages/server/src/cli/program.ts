import { Command, Option } from 'commander';
import { bind, collect, type Outcome } from './command.ts';
import { VERSION } from './version.ts';

/** Every command with its options. The modules behind them are loaded when they run. */
export function createProgram(outcome: Outcome): Command {
  const program = new Command('sheaf')
    .description('Runs batches: many items, one processor, one place to watch, steer and trust them.')
    .version(`sheaf ${VERSION}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      'after',
      '\nBATCH is an id, a unique beginning or end of one, an exact name, @last or @active.\nMore: sheaf help COMMAND, sheaf help exit-codes',
    );
  addGlobals(program);
  addServing(program, outcome);
  addRunning(program, outcome);
  addWatching(program, outcome);
  addSteering(program, outcome);
  addKeeping(program, outcome);
  return program;
}

function addGlobals(program: Command): void {
  program
    .option('--data <dir>', 'data folder (SHEAF_DATA; default ./sheaf-data)')
    .addOption(new Option('--data-dir <dir>').hideHelp())
    .option('--config <file>', 'configuration file (SHEAF_CONFIG; default sheaf.json, if there is one)')
    .option('--server <url>', 'talk to this server (SHEAF_SERVER)')
    .option('--json', 'print one JSON object to stdout')
    .option('--jsonl', 'print JSON, one object a line')
    .addOption(
      new Option('--progress <how>', 'how progress is shown').choices(['auto', 'tty', 'plain', 'quiet']),
    )
    .addOption(new Option('--color <when>', 'colours').choices(['auto', 'always', 'never']))
    .option('-q, --quiet', 'print nothing but errors, and ids where a list is asked for')
    .option('-y, --yes', 'answer yes to every question')
    .option('--debug', 'show where an error comes from');
}

function addServing(program: Command, outcome: Outcome): void {
  program.commandsGroup('Serve:');
  const up = serving(
    program
      .command('up')
      .alias('serve')
      .description('start the server with its workers, in the foreground; ^C stops it safely')
      .option('--port <n>', 'port to listen on; 0 takes any that is free'),
  )
    .option('--retention-days <n>', 'days a finished batch is kept')
    .option('--allowed-host <name>', 'another name requests may call this server by (repeatable)', collect)
    .option('--log-level <level>', 'fatal, error, warn, info, debug, trace or silent');
  bind(outcome, up, async () => (await import('./commands/up.ts')).up);
  const worker = serving(
    program.command('worker').description('join a cluster and work, without a page; ^C stops it safely'),
  ).helpCommand(false);
  bind(outcome, worker, async () => (await import('./commands/worker.ts')).worker);
  const workers = worker.command('list').description('who works in the cluster');
  bind(outcome, workers, async () => (await import('./commands/worker.ts')).listWorkers);
  const demo = program
    .command('demo')
    .description('12 sample photographs and a broken one become thumbnails');
  bind(outcome, demo, async () => (await import('./commands/demo.ts')).demo);
  const doctor = program
    .command('doctor')
    .description('check this machine: Node, database, disk, port, clock');
  bind(outcome, doctor, async () => (await import('./commands/doctor.ts')).doctor);
  const home = program.command('home', { hidden: true });
  bind(outcome, home, async () => (await import('./commands/home.ts')).home);
}

/** Options of the commands that stay and work. */
function serving(command: Command): Command {
  return command
    .option(
      '--database <url>',
      'PostgreSQL of a cluster, postgres://… (SHEAF_DATABASE; default: SQLite here)',
    )
    .option('--files <place>', 's3://bucket/prefix?endpoint=…, or a folder all machines share (SHEAF_FILES)')
    .option('--pools <names>', 'pools of the cluster to work for, with commas')
    .option('--concurrency <n>', 'items this process runs at the same time')
    .option('--recovery <how>', 'what to do with batches a crash interrupted: resume, review or auto')
    .option('--processor <file>', 'also serve the processors this file exports (repeatable)', collect);
}

function addRunning(program: Command, outcome: Outcome): void {
  program.commandsGroup('Run:');
  const run = program
    .command('run')
    .description('make a batch of files or JSON lines, follow it to its end, fetch what comes out')
    .argument('<what>', 'a processor, a template, or a file that exports a processor')
    .argument('[path...]', 'files, folders, patterns, or - for JSON lines on standard input')
    .option('-n, --name <name>', 'name of the batch')
    .option('-c, --customer <prefix>', 'customer it is for; else read from the names of the files')
    .option('-l, --label <key=value>', 'label (repeatable)', collect)
    .option('-p, --param <key=value>', 'setting of the processor, JSON or text (repeatable)', collect)
    .option('--params <file>', 'settings from a JSON file; -p wins')
    .option('--manifest <file.jsonl>', 'items from JSON lines: {"name": …, "input": …}')
    .option('--canary <n[:percent]>', 'run this many first; go on by itself when the share passes')
    .option('--concurrency <n>', 'items of this batch that may run at the same time')
    .option('--max-attempts <n>', 'tries of an item before it fails')
    .option('--item-timeout <time>', 'longest time for one try, such as 10m')
    .option('--failure-budget <n|percent>', 'pause when more fail, such as 20% or 50')
    .option(
      '--rate-limit <n/time>',
      'start no more than so many in such a time, such as 10/s, 500/h or 5/10s',
    )
    .option('--priority <p>', 'low, normal, high or 0–9; higher goes first')
    .addOption(new Option('--recovery <how>', 'after a crash').choices(['resume', 'review']))
    .option('-o, --out <dir>', 'folder for the outputs (default ./NAME-out)')
    .option('--detach', 'return when all is uploaded; needs a running server')
    .option('--idempotency-key <key>', 'calls with the same key make one batch, and go on with its upload');
  bind(outcome, run, async () => (await import('./commands/run.ts')).run);
  const add = program
    .command('add')
    .description('more items for a batch, also while it runs')
    .argument('<batch>')
    .argument('[path...]', 'files, folders, patterns, or - for JSON lines')
    .option('--manifest <file.jsonl>', 'items from JSON lines')
    .option('--rest', 'after a stopped upload of the same paths: only what is missing, then close the batch');
  bind(outcome, add, async () => (await import('./commands/add.ts')).add);
  const download = program
    .command('download')
    .description('fetch the outputs of a batch')
    .argument('<batch>')
    .option('-o, --out <dir>', 'folder for the outputs (default ./NAME-out)');
  bind(outcome, download, async () => (await import('./commands/download.ts')).download);
}

function addWatching(program: Command, outcome: Outcome): void {
  program.commandsGroup('Watch:');
  const list = program
    .command('list')
    .alias('ls')
    .description('batches, newest first')
    .option('--status <states>', 'only these, such as running,paused; also active, finished')
    .option('--customer <prefix>', 'only this customer')
    .option('--processor <name>', 'only this processor')
    .option('--label <key=value>', 'only this label')
    .option('--since <time>', 'only since, such as 7d or 2026-11-01 (whole days)')
    .option('--search <text>', 'only with this text')
    .addOption(
      new Option('--sort <field>', 'sort by').choices([
        'created_at',
        'updated_at',
        'name',
        'status',
        'total_items',
        'priority',
        'batch_date',
      ]),
    )
    .option('--limit <n>', 'at most so many (default 20)')
    .option('--all', 'all of them');
  bind(outcome, list, async () => (await import('./commands/list.ts')).list);
  const status = program
    .command('status')
    .description('one batch in a few lines; without a name, the list')
    .argument('[batch]')
    .option('-w, --watch', 'stay until it is final');
  bind(outcome, status, async () => (await import('./commands/status.ts')).status);
  const items = program
    .command('items')
    .description('items of a batch, or all about one of them')
    .argument('<batch[/seq]>')
    .option('--failed', 'only failed ones')
    .option('--status <states>', 'only these, such as failed,running')
    .option('--cause <cause>', 'only those that failed for this reason')
    .option('--search <text>', 'only with this text')
    .option('--limit <n>', 'at most so many (default 50)')
    .option('--all', 'all of them');
  bind(outcome, items, async () => (await import('./commands/items.ts')).items);
  const logs = program
    .command('logs')
    .description('what the processor wrote while it worked')
    .argument('<batch[/seq]>')
    .option('-f, --follow', 'stay until the batch is final');
  bind(outcome, logs, async () => (await import('./commands/logs.ts')).logs);
  const wait = program
    .command('wait')
    .description('return when the batches are final, with the worst of their exit codes')
    .argument('[batch...]')
    .option('--timeout <time>', 'give up after, such as 1h');
  bind(outcome, wait, async () => (await import('./commands/wait.ts')).wait);
}

function addSteering(program: Command, outcome: Outcome): void {
  const load = () => import('./commands/steer.ts');
  program.commandsGroup('Steer:');
  const start = working(program.command('start').description('send drafts to work').argument('<batch...>'));
  bind(outcome, start, async () => (await load()).start);
  const seal = program
    .command('seal')
    .description('close open batches for more items')
    .argument('<batch...>');
  bind(outcome, seal, async () => (await load()).seal);
  const pause = program
    .command('pause')
    .description('start nothing more; running items finish')
    .argument('<batch...>')
    .option('--now', 'give running items back instead; they run again later')
    .option('--force', 'with --now: also where running an item twice may do harm');
  bind(outcome, pause, async () => (await load()).pause);
  const resume = working(
    program.command('resume').description('go on with paused or left batches').argument('<batch...>'),
  );
  bind(outcome, resume, async () => (await load()).resume);
  const cancel = program
    .command('cancel')
    .description('end batches at once; results stay')
    .argument('<batch...>');
  bind(outcome, cancel, async () => (await load()).cancel);
  const retry = working(
    program
      .command('retry')
      .description('send failed items back to work')
      .argument('<batch[/seq]...>')
      .option('--failed', 'all that failed (the default)')
      .option('--cancelled', 'those a cancel left undone')
      .option('--cause <cause>', 'only those that failed for this reason')
      .option('-p, --param <key=value>', 'with another setting, JSON or text (repeatable)', collect),
  );
  bind(outcome, retry, async () => (await import('./commands/retry.ts')).retry);
  const priority = program
    .command('priority')
    .description('which batch goes first')
    .argument('<batch>')
    .argument('<priority>', 'low, normal, high or 0–9; higher goes first');
  bind(outcome, priority, async () => (await load()).priority);
  const limit = program
    .command('limit')
    .description('how much of a batch runs, also while it does')
    .argument('<batch...>')
    .option('--concurrency <n>', 'items that may run at the same time')
    .option(
      '--rate-limit <n/time>',
      'start no more than so many in such a time, such as 10/s or 5/10s; none lifts it',
    );
  bind(outcome, limit, async () => (await load()).limit);
  const rm = program
    .command('rm')
    .description('delete batches with their files')
    .argument('<batch...>')
    .option('--force', 'cancel first what is not over');
  bind(outcome, rm, async () => (await load()).rm);
}

/** Options of the commands that send batches to work. */
function working(command: Command): Command {
  return command
    .option('-w, --watch', 'stay until they are over (the default on a terminal, and where no server runs)')
    .option('--no-watch', 'return at once')
    .option(
      '--processor <file>',
      'where no server runs: a file that exports the processor (repeatable)',
      collect,
    );
}

function addKeeping(program: Command, outcome: Outcome): void {
  program.commandsGroup('Keep:');
  const recover = program
    .command('recover')
    .description('what a restart left for review')
    .argument('[batch...]')
    .option('--resume', 'go on with them')
    .option('--cancel', 'end them');
  bind(outcome, recover, async () => (await import('./commands/recover.ts')).recover);
  const cleanup = program
    .command('cleanup')
    .description('delete batches that ended long ago')
    .option('--days <n>', 'longer ago than this (default 7)')
    .option('--dry-run', 'only say how many');
  bind(outcome, cleanup, async () => (await import('./commands/cleanup.ts')).cleanup);
  const catalogue = () => import('./commands/processors.ts');
  const processor = program.command('processor').description('what can be run').helpCommand(false);
  const processorList = processor.command('list').description('every processor');
  bind(outcome, processorList, async () => (await catalogue()).listProcessors);
  const show = processor.command('show').description('one processor and its settings').argument('<name>');
  bind(outcome, show, async () => (await catalogue()).showProcessor);
  const template = program
    .command('template')
    .description('saved choices for new batches')
    .helpCommand(false);
  bind(
    outcome,
    template.command('list').description('every template'),
    async () => (await catalogue()).listTemplates,
  );
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`sheaf ${VERSION} (Node ${process.versions.node})\n`);
    });
  program
    .command('help')
    .description('help for a command, or exit-codes')
    .argument('[topic...]')
    .action(async (topic: string[]) => {
      const { help } = await import('./help.ts');
      help(program, topic);
    });
}
