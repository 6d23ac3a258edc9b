/**
 * The step `tests` of the check: Vitest, what it found, and a second look at what failed.
 *
 * A test that fails among three thousand others and passes by itself depends on how busy the machine is:
 * it is called `unsteady`. It fails the check like any other, and whoever mends it knows where to look.
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
const MAX_LOOKS = 5;

/** @param run runs Vitest with these arguments */
export async function runTests(
  run: (args: string[]) => Promise<Output>,
  { projects, root }: { projects: string[]; root: string },
): Promise<Output & { passed: number; failed: number; note: string }> {
  const selected = projects.map((project) => `--project=${project}`);
  const { ok, output, passed, skipped, failed } = await look(run, selected, root);
  const again =
    failed.length === 0 || failed.length > MAX_LOOKS
      ? null
      : await look(run, [...selected, ...new Set(failed.map(({ file }) => file))], root);
  // Without a report of the second look nothing is known of them.
  const isKnown = again !== null && (again.ok || again.failed.length > 0);
  const isUnsteady = (test: Test) => isKnown && !again.failed.some(({ name }) => name === test.name);
  // The names come last, where a reader of a long log looks first.
  const names = failed.map(
    (test) => `${isUnsteady(test) ? 'unsteady' : 'failed'}  ${test.file} > ${test.name}: ${test.why}`,
  );
  const note = `${passed} passed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  return { ok, output: [output, ...names].join('\n'), passed, failed: failed.length, note };
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

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';
