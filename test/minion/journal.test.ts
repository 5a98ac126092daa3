import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Job } from '../../src/minion/job.js'
import { JobJournal } from '../../src/minion/journal.js'

const job = (jid: string, arg: unknown[] = []): Job => ({ jid, fun: 'test.ping', arg })

t.test('a job is new once, while it runs and after it has ended, also for the next run of the agent', async t => {
  const dir = t.testdir({})
  const { journal } = await JobJournal.open(dir)
  t.equal(await journal.arrived(job('1')), 'new')
  t.equal(await journal.arrived(job('1')), 'known')
  await journal.ended('1')
  t.equal(await journal.arrived(job('1')), 'known')
  await journal.close()
  const again = await JobJournal.open(dir)
  t.same(again.interrupted, [])
  t.equal(await again.journal.arrived(job('1')), 'known')
  t.equal(await again.journal.arrived(job('2')), 'new')
  await again.journal.close()
  t.equal(statSync(join(dir, 'jobs.ndjson')).mode & 0o777, 0o600)
})

t.test('jobs that had not ended when the agent was killed are told, whatever the end of the file looks like', async t => {
  const dir = t.testdir({})
  const { journal } = await JobJournal.open(dir)
  await journal.arrived(job('1', ['a', { __kwarg__: true, b: 1 }]))
  await journal.arrived(job('2'))
  await journal.ended('2')
  appendFileSync(join(dir, 'jobs.ndjson'), '{"job":{"jid":"3","fu')
  const again = await JobJournal.open(dir)
  t.same(again.interrupted, [job('1', ['a', { __kwarg__: true, b: 1 }])])
  t.equal(await again.journal.arrived(job('1')), 'known', 'and it does not run again')
  await again.journal.ended('1')
  await again.journal.close()
  const last = await JobJournal.open(dir)
  t.same(last.interrupted, [])
  await last.journal.close()
  await journal.close()
})

t.test('the file stays small while jobs come and go, and forgets none that runs', async t => {
  const dir = t.testdir({})
  const { journal } = await JobJournal.open(dir)
  await journal.arrived(job('running'))
  const filler = ['x'.repeat(100_000)]
  for (let round = 0; round < 20; round++) {
    const jids = Array.from({ length: 10 }, (_, i) => `${round}-${i}`)
    await Promise.all(jids.map(jid => journal.arrived(job(jid, filler))))
    await Promise.all(jids.map(jid => journal.ended(jid)))
  }
  await journal.close()
  t.ok(readFileSync(join(dir, 'jobs.ndjson')).length < 8 * 1024 * 1024)
  const again = await JobJournal.open(dir)
  t.same(again.interrupted, [job('running')])
  t.equal(await again.journal.arrived(job('0-0')), 'known')
  t.equal(await again.journal.arrived(job('19-9')), 'known')
  await again.journal.close()
})
