import type { Config } from '../config/schema.js'
import type { Clock } from '../shared/clock.js'
import type { KeyStore } from '../store/store.js'
import { GrainLists, IdList } from './autosign.js'
import { Enrolments } from './enrolment.js'

/** What a new minion brings so that it need not wait for people. */
export interface Credentials {
  /** Its `autosign_grains`. */
  readonly grains?: Readonly<Record<string, unknown>>
  /** An enrolment token. */
  readonly enrolment?: string
}

/** What becomes of a new key, or one that waits. `enrolment`: the hash of the token that is used up by it. */
export type Verdict = { readonly act: 'accept'; readonly enrolment?: string } | { readonly act: 'reject' } | { readonly act: 'pend' }

export interface AdmissionOptions {
  readonly config: Pick<Config, 'auto_accept'> & Partial<Pick<Config, 'autosign_file' | 'autoreject_file' | 'autosign_grains_dir'>>
  readonly store: { readonly keys: KeyStore }
  readonly clock: Clock
  readonly log: { warn(fields: object, text: string): void }
}

/** Decides about keys that nobody has decided about, in Salt's order: autoreject_file before everything that lets in. */
export class Admission {
  readonly enrolments: Enrolments
  readonly #autoAccept: boolean
  readonly #sign: IdList | null
  readonly #reject: IdList | null
  readonly #grains: GrainLists | null

  constructor({ config, store, clock, log }: AdmissionOptions) {
    this.enrolments = new Enrolments({ store: store.keys, clock })
    this.#autoAccept = config.auto_accept
    this.#sign = config.autosign_file ? new IdList(config.autosign_file, log) : null
    this.#reject = config.autoreject_file ? new IdList(config.autoreject_file, log) : null
    this.#grains = config.autosign_grains_dir ? new GrainLists(config.autosign_grains_dir, log) : null
  }

  async verdict(id: string, { grains, enrolment }: Credentials): Promise<Verdict> {
    if (await this.#reject?.has(id)) return { act: 'reject' }
    if (this.#autoAccept || (await this.#sign?.has(id))) return { act: 'accept' }
    if (grains !== undefined && (await this.#grains?.admit(grains))) return { act: 'accept' }
    const hash = enrolment === undefined ? null : await this.enrolments.counts(enrolment, id)
    return hash === null ? { act: 'pend' } : { act: 'accept', enrolment: hash }
  }
}
