import t from 'tap'
import { compilePathGlob, compileSegment } from '../../src/reactor/path-glob.js'

t.test('a segment of a path glob means what it means to Python', async t => {
  const names = ['a.sls', 'b.sls', 'ab.sls', '.a.sls', '..b', '[x.sls', '{a,b}.sls', 'é.sls', 'A.sls', '-.sls', '']
  for (const [pattern, meant] of [
    ['*', ['a.sls', 'b.sls', 'ab.sls', '[x.sls', '{a,b}.sls', 'é.sls', 'A.sls', '-.sls', '']],
    ['**', ['a.sls', 'b.sls', 'ab.sls', '[x.sls', '{a,b}.sls', 'é.sls', 'A.sls', '-.sls', '']],
    ['?.sls', ['a.sls', 'b.sls', 'é.sls', 'A.sls', '-.sls']],
    ['[!a].sls', ['b.sls', 'é.sls', 'A.sls', '-.sls']],
    ['[a-]*', ['a.sls', 'ab.sls', '-.sls']],
    ['.*', ['.a.sls', '..b']],
    ['[.]*', []],
    ['[x*', ['[x.sls']],
    ['{a,b}*', ['{a,b}.sls']]
  ] as const)
    t.strictSame(names.filter(compileSegment(pattern)), meant, pattern)
})

t.test('wildcards of a path glob stay within their segment; a name is itself, with its dot', async t => {
  const matches = compilePathGlob('/srv/.x/*/r?.sls')
  t.ok(matches('/srv/.x/one/r1.sls'))
  t.notOk(matches('/srv/.x/one/two/r1.sls'))
  t.notOk(matches('/srv/.x/.one/r1.sls'))
  t.notOk(matches('/srv/.x/one/r.sls'))
  t.notOk(compilePathGlob('/srv/**/r.sls')('/srv/a/b/r.sls'), '** crosses no slash: the glob is not recursive, as in Salt')
})

t.test('a pattern of many stars is answered within its bound', async t => {
  const name = 'a'.repeat(255)
  t.notOk(compileSegment(`${'*a'.repeat(100)}*b`)(name))
  t.ok(compileSegment(`${'*a'.repeat(100)}*`)(name))
})
