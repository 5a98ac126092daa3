import t from 'tap'
import { slsCompiler } from '../../src/reactor/compile.js'

const HOSTILE = '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'

t.test('a template that is stopped three times within a minute rests for a minute, unless its text changes', async t => {
  let now = 1000
  const compile = slsCompiler({ include: () => null, signatureOf: () => null, limits: { steps: 1000 }, now: () => now })
  const error = (text: string) => compile({ file: 'h.sls', text }, { tag: 'x', json: '{}' }).error
  for (let i = 0; i < 3; i++) t.match(error(HOSTILE), /more than 1000 steps/)
  t.match(error(HOSTILE), /quarantined.*60 s/)
  t.equal(error('a:\n  runner.manage.up: []\n'), null, 'others are rendered')
  t.match(error(`${HOSTILE} `), /more than 1000 steps/, 'another text is another template')
  now += 60_000
  t.match(error(HOSTILE), /more than 1000 steps/)
})

t.test('stops that lie further apart put no template to rest', async t => {
  let now = 1000
  const compile = slsCompiler({ include: () => null, signatureOf: () => null, limits: { steps: 1000 }, now: () => now })
  for (let i = 0; i < 10; i++) {
    t.match(compile({ file: 'h.sls', text: HOSTILE }, { tag: 'x', json: '{}' }).error, /more than 1000 steps/)
    now += 30_001
  }
})
