import t from 'tap'
import { BrineError } from '../../src/errors.js'
import { readChunk, readLowstate } from '../../src/jobs/chunk.js'

const CLIENTS = ['local', 'local_async', 'local_batch', 'local_subset', 'runner', 'runner_async', 'wheel', 'wheel_async']
const read = (chunk: unknown, path = '') => readChunk(chunk, path, CLIENTS)

function refusal(run: () => unknown): { code: string; status: number; message: string } {
  try {
    run()
  } catch (error) {
    if (error instanceof BrineError) return { code: error.code, status: error.status, message: error.message }
    throw error
  }
  throw new Error('was not refused')
}

t.test('a lowstate is a list of chunks, or one mapping that stands for a list of one', async t => {
  t.same(readLowstate([{ client: 'local' }]), [{ client: 'local' }])
  t.same(readLowstate({ client: 'local' }), [{ client: 'local' }])
  t.same(readLowstate([]), [])
  for (const body of [undefined, null, 5, 'x', {}, true]) {
    t.match(
      refusal(() => readLowstate(body)),
      { code: 'LOWSTATE_NOT_LIST', status: 400, message: 'Lowstates must be a list' }
    )
  }
  t.equal(refusal(() => readLowstate(new Array(1001).fill({}))).code, 'FIELD_INVALID')
})

t.test('a client that does not exist, or is switched off, is refused in words that clients know', async t => {
  t.match(
    refusal(() => read({ tgt: '*', fun: 'test.ping' })),
    { status: 400, message: "Invalid client specified: 'None'" }
  )
  for (const client of ['bogus', '_is_master_running', 'run', 'constructor', '__proto__']) {
    t.match(
      refusal(() => read({ client })),
      { status: 400, message: `Invalid client specified: '${client}'` }
    )
  }
  t.match(
    refusal(() => readChunk({ client: 'wheel', fun: 'key.list_all' }, '', ['local'])),
    { code: 'CLIENT_DISABLED', status: 400 }
  )
  t.match(
    refusal(() => read({ client: 'ssh', tgt: '*', fun: 'test.ping' })),
    { code: 'CLIENT_DISABLED' }
  )
})

t.test('bad input is a 4xx that names the field', async t => {
  const local = { client: 'local', tgt: '*', fun: 'test.ping' }
  const cases: [unknown, string, string][] = [
    [null, 'FIELD_INVALID', 'chunk'],
    ['x', 'FIELD_INVALID', 'chunk'],
    [[], 'FIELD_INVALID', 'chunk'],
    [{ client: 'local', tgt: '*' }, 'FIELD_MISSING', 'fun'],
    [{ client: 'local', fun: 'test.ping' }, 'FIELD_MISSING', 'tgt'],
    [{ ...local, fun: '' }, 'FIELD_INVALID', 'fun'],
    [{ ...local, fun: 5 }, 'FIELD_INVALID', 'fun'],
    [{ ...local, fun: [] }, 'FIELD_INVALID', 'fun'],
    [{ ...local, fun: ['test.ping', null] }, 'FIELD_INVALID', 'fun'],
    [{ ...local, fun: ['test.ping', 'test.arg'], arg: [[]] }, 'FIELD_INVALID', 'arg'],
    [{ ...local, kwarg: [1] }, 'FIELD_INVALID', 'kwarg'],
    [{ ...local, tgt_type: {} }, 'FIELD_INVALID', 'tgt_type'],
    [{ ...local, jid: '../../etc' }, 'FIELD_INVALID', 'jid'],
    [{ ...local, jid: 2026 }, 'FIELD_INVALID', 'jid'],
    [{ ...local, client: 'local_batch', batch: 'x' }, 'FIELD_INVALID', 'batch'],
    [{ ...local, client: 'local_batch', batch: 0 }, 'FIELD_INVALID', 'batch'],
    [{ ...local, client: 'local_batch', batch: ['2'] }, 'FIELD_INVALID', 'batch'],
    [{ ...local, client: 'local_subset', subset: 'many' }, 'FIELD_INVALID', 'subset'],
    [{ client: 'runner', fun: ['a'] }, 'FIELD_INVALID', 'fun'],
    [{ client: 'runner', fun: 'test.arg', kwarg: 'x' }, 'FIELD_INVALID', 'kwarg']
  ]
  for (const [chunk, code, field] of cases) {
    const refused = refusal(() => read(chunk))
    t.match(refused, { code, status: 400 }, JSON.stringify(chunk))
    t.ok(refused.message.includes(`'${field}'`), refused.message)
  }
  t.ok(refusal(() => read({ client: 'local', tgt: '*' }, '[2].')).message.includes("'[2].fun'"), 'and where it stands in a list')
})

t.test('a runner or wheel chunk without a function is answered as Salt does', async t => {
  t.match(
    refusal(() => read({ client: 'runner' })),
    { status: 400, message: 'runner takes at least 1 argument (0 given)' }
  )
  t.match(
    refusal(() => read({ client: 'wheel_async' })),
    { status: 400, message: 'wheel takes at least 1 argument (0 given)' }
  )
})

t.test('raw_shell is refused', async t => {
  t.match(
    refusal(() => read({ client: 'local', tgt: '*', fun: 'test.ping', raw_shell: true })),
    { status: 401, code: 'RAW_SHELL' }
  )
})

t.test('a local chunk has the fields that Salt knows; what it does not know is ignored', async t => {
  const call = read({
    client: 'local',
    tgt: 'm1',
    fun: 'test.arg',
    arg: 'only',
    timeout: '1',
    full_return: 'true',
    bogus: 1,
    expr_form: 'grain'
  })
  t.match(call, { kind: 'local', tgtType: 'glob', arg: ['only'], kwarg: {}, timeoutSeconds: 1, fullReturn: true })
  t.match(read({ client: 'local', tgt: 'm1', fun: 'test.ping', timeout: 'abc' }), { timeoutSeconds: undefined })
  t.match(read({ client: 'local', tgt: 'm1', fun: 'test.ping', timeout: 1e12 }), { timeoutSeconds: 86_400 })
  t.match(read({ client: 'local_batch', tgt: 'm1', fun: 'test.ping' }), { batch: { count: 10, percent: true } })
  t.match(read({ client: 'local_batch', tgt: 'm1', fun: 'test.ping', batch: ' 2 ' }), { batch: { count: 2, percent: false } })
  t.match(read({ client: 'local_subset', tgt: 'm1', fun: 'test.ping' }), { subset: 3 })
  t.match(read({ client: 'local_subset', tgt: 'm1', fun: 'test.ping', sub: 1 }), { subset: 1 })
})

t.test('for runners and wheel functions every other field is a keyword argument, credentials are not', async t => {
  const chunk = { client: 'runner', fun: 'test.arg', arg: ['a', 2, 'x=1'], kwarg: { b: 3 }, n: 5, timeout: 9, full_return: true }
  const secrets = { username: 'u', password: 'p', eauth: 'file', token: 't' }
  t.match(read({ ...chunk, ...secrets }), {
    kind: 'runner',
    args: ['a', 2],
    kwargs: { x: 1, n: 5, b: 3 },
    timeoutSeconds: 9,
    fullReturn: true
  })
  t.same(Object.keys((read({ ...chunk, ...secrets }) as { kwargs: object }).kwargs), ['x', 'n', 'b'])
  t.match(read({ client: 'wheel', fun: 'key.list', arg: ['accepted'] }), { kind: 'wheel', args: ['accepted'] })
})
