import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import { eventContract } from './store-events.js'
import { jobContract } from './store-jobs.js'
import { enrolmentContract, keyContract } from './store-keys.js'
import { reactionContract } from './store-reactions.js'
import { ruleContract } from './store-rules.js'
import { tokenContract } from './store-tokens.js'

/** What a contract needs of an engine: a new empty store, and the same one again after it was closed. */
export interface OpenedStore {
  readonly store: Store
  /** Closes the store if it is open, and opens it again. */
  reopen(): Promise<Store>
}

/** Opens an empty store that is closed and removed when the test ends. */
export type OpenStore = (t: Test) => Promise<OpenedStore>

/** The promises of src/store/store.ts as tests; every engine runs this body. */
export function storeContract(engine: string, open: OpenStore): void {
  for (const [part, contract] of Object.entries(CONTRACTS)) {
    t.test(`${engine}: ${part}`, async t => contract(t, open))
  }
}

const CONTRACTS: Record<string, (t: Test, open: OpenStore) => void> = {
  events: eventContract,
  jobs: jobContract,
  keys: keyContract,
  enrolments: enrolmentContract,
  tokens: tokenContract,
  reactions: reactionContract,
  rules: ruleContract
}
