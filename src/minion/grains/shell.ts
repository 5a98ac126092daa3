/** The shell that commands are given to. */
export function shellOf(env: NodeJS.ProcessEnv): string {
  return env.SHELL || '/bin/sh'
}
