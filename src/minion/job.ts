/** A job as the executor gets it and what comes of it. */

export interface Job {
  readonly jid: string
  /** A list of functions is Salt's compound command; `arg` is then a list of lists. */
  readonly fun: string | readonly string[]
  /** As published: keyword arguments as mappings marked `__kwarg__: true`, or texts `name=value`. */
  readonly arg: readonly unknown[]
  readonly tgt?: unknown
  readonly tgtType?: string
  readonly user?: string
  readonly ret?: string
  readonly metadata?: unknown
  /** What a function with keyword arguments gets as `__pub_…`, where it is not made of the fields above (`brine call`, schedule). */
  readonly published?: Readonly<Record<string, unknown>>
}

/** What goes back to the server, with Salt's field names. A compound job has mappings by function. */
export interface Outcome {
  readonly fun: string | readonly string[]
  readonly fun_args: readonly unknown[]
  readonly return: unknown
  readonly retcode: number | Readonly<Record<string, number>>
  readonly success: boolean | Readonly<Record<string, boolean>>
  /** Salt's outputter for people: `nested`, `highstate`. */
  readonly out?: string
}

/** One entry of `saltutil.running`, with Salt's field names. */
export interface RunningJob {
  readonly pid: number
  readonly fun: string | readonly string[]
  readonly arg: readonly unknown[]
  readonly tgt: unknown
  readonly jid: string
  readonly ret: string
  readonly tgt_type: string
  readonly user: string
}
