import { join } from 'node:path'
import { openSqliteStore } from '../../src/store/sqlite/open.js'
import { storeContract } from '../contracts/store.js'
import { TestClock, tempFolder } from '../helpers/store.js'

storeContract('sqlite', async t => {
  const file = join(await tempFolder(t), 'brine.db')
  const clock = new TestClock()
  let store = await openSqliteStore({ file, clock })
  t.teardown(() => store.close())
  return {
    store,
    async reopen() {
      await store.close()
      store = await openSqliteStore({ file, clock })
      return store
    }
  }
})
