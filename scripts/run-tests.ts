/**
 * The step `tests` of the check: Vitest, what it found, and a second look at what failed.
 *
 * A test that fails among three thousand others and passes by itself depends on how busy the machine
 * is. It does not hold up a change, but it is a mistake of ours, so it is named: `unsteady`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

type Output = { ok: boolean; output: string };
type Test = { file: string; name: string; why: string };
type Found = Output & { passed: number; skipped: number; failed: Test[] };

/** The part of Vitest's JSON report that is read here. */
type Report = {
  numPassedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  /** One for each file; a file that does not load has no tests. */
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
};

/** More failures than this are no matter of a busy machine. */
const MAX_UNSTEADY = 5;

/** @param run runs Vitest with these arguments */
export async function runTests(
  run: (args: string[]) => Promise<Output>,
  { projects, root }: { projects: string[]; root: string },
): Promise<Output & { passed: number; failed: number; isUnsteady: boolean; note: string }> {
  const selected = projects.map((project) => `--project=${project}`);
  const first = await look(run, selected, root);
  const { passed, skipped } = first;
  if (first.ok || first.failed.length === 0 || first.failed.length > MAX_UNSTEADY)
    return tell(first, { passed, failed: first.failed, skipped, unsteady: [] });
  const files = [...new Set(first.failed.map(({ file }) => file))];
  const second = await look(run, [...selected, ...files], root);
  const failed = second.failed;
  // Without a report of the second look nothing is known of them.
  if (!second.ok && failed.length === 0)
    return tell(first, { passed, failed: first.failed, skipped, unsteady: [] });
  const unsteady = first.failed.filter((test) => !failed.some(({ name }) => name === test.name));
  const output = `${first.output}\n\nThe files of these, by themselves:\n${second.output}`;
  return tell(
    { ok: failed.length === 0, output },
    { passed: passed + unsteady.length, failed, skipped, unsteady },
  );
}

async function look(run: (args: string[]) => Promise<Output>, args: string[], root: string): Promise<Found> {
  const folder = mkdtempSync(join(tmpdir(), 'sheaf-check-'));
  const file = join(folder, 'report.json');
  try {
    const result = await run([
      'run',
      '--reporter=dot',
      '--reporter=json',
      `--outputFile.json=${file}`,
      ...args,
    ]);
    // Without a report Vitest did not get as far as running a test.
    if (!existsSync(file)) return { ...result, ok: false, passed: 0, skipped: 0, failed: [] };
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report;
    const failed = failedIn(report, root);
    const skipped = report.numPendingTests + report.numTodoTests;
    return {
      ...result,
      ok: result.ok && failed.length === 0,
      passed: report.numPassedTests,
      skipped,
      failed,
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function failedIn(report: Report, root: string): Test[] {
  return report.testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => ({ file, name: test.fullName, why: firstLine(test.failureMessages[0] ?? '') }));
    // A file that did not load counts as one test.
    if (failed.length > 0 || status !== 'failed') return failed;
    return [{ file, name: '(the file)', why: firstLine(message) }];
  });
}

/** The names come last, where a reader of a long log looks first. */
function tell(
  { ok, output }: Output,
  told: { passed: number; failed: Test[]; skipped: number; unsteady: Test[] },
): Awaited<ReturnType<typeof runTests>> {
  const { passed, failed, skipped, unsteady } = told;
  const line = (word: string) => (test: Test) => `${word}  ${test.file} > ${test.name}: ${test.why}`;
  const names = [...failed.map(line('failed')), ...unsteady.map(line('unsteady'))].join('\n      ');
  const counts = [`${passed} passed`];
  if (skipped > 0) counts.push(`${skipped} skipped`);
  if (unsteady.length > 0)
    counts.push(`${unsteady.length} unsteady, they passed by themselves:\n      ${names}`);
  return {
    ok,
    output: `${output}\n\n${names}`,
    passed,
    failed: failed.length,
    isUnsteady: unsteady.length > 0,
    note: counts.join(', '),
  };
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';
