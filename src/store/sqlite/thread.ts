/**
 * Node's flags for the store's threads: what makes their stack traces readable, and nothing else of what the process was started with.
 * A thread would take over everything (the loaders of a test runner, say) and be slow to start for nothing.
 */
export function threadFlags(): string[] {
  return process.execArgv.filter(flag => flag === '--enable-source-maps')
}
