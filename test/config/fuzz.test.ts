import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { readExternalAuth, wholeName } from '../../src/auth/external-auth.js'
import { callerFor } from '../../src/auth/permissions.js'
import { editDistance, suggest } from '../../src/config/distance.js'
import { loadConfig } from '../../src/config/load.js'
import { SETTINGS } from '../../src/config/schema.js'
import { isBrineError } from '../../src/errors.js'
import { parseYaml } from '../../src/shared/yaml.js'

const word = fc.stringMatching(/^[a-z_]{1,8}$/)

t.test('whatever stands in a file, loading gives a configuration or CONFIG_INVALID, and nothing else', async t => {
  const dir = t.testdir({})
  const file = join(dir, 'f.yaml')
  const values = fc.dictionary(
    fc.oneof(fc.constantFrom(...SETTINGS.keys(), 'rest_cherrypy', 'include', 'default_include', '__proto__', 'constructor'), word),
    fc.jsonValue()
  )
  fc.assert(
    fc.property(
      fc.oneof(
        values.map(each => JSON.stringify(each)),
        fc.string()
      ),
      text => {
        writeFileSync(file, text)
        try {
          loadConfig({ files: [file] })
        } catch (error) {
          if (!isBrineError(error, 'CONFIG_INVALID')) throw error
        }
      }
    ),
    { numRuns: 300 }
  )
  t.equal(({} as Record<string, unknown>).polluted, undefined)
})

t.test('whatever external_auth is, it is read or refused with its place; what is read permits nothing to others', async t => {
  const entry = fc.letrec(tie => ({
    rule: fc.oneof(word, fc.dictionary(word, tie('rule') as fc.Arbitrary<unknown>, { maxKeys: 2 }), fc.jsonValue()),
    list: fc.array(tie('rule'), { maxLength: 3 })
  }))
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('file', 'sharedsecret', 'pam'), fc.dictionary(word, entry.list)), value => {
      const read = readExternalAuth(value)
      if ('faults' in read) return read.faults.every(({ path, text }) => path !== '' && text !== '')
      const stranger = callerFor({ user: 'A stranger', eauth: 'file', jti: null, expiresUs: 1 }, read.value, () => ['m1'])
      return !stranger.may({ kind: 'local', fun: 'cmd.run', args: [], kwargs: {}, tgt: '*', tgtType: 'glob' }) && stranger.readable === null
    }),
    { numRuns: 500 }
  )
  t.pass('it held')
})

t.test('`mod.*` is everything in that module and nothing in any other', async t => {
  const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,10}$/)
  fc.assert(
    fc.property(name, name, name, (module, other, fun) => {
      const pattern = wholeName(`${module}.*`)
      return (
        pattern.test(`${module}.${fun}`) &&
        pattern.test(`${other}.${fun}`) === (other === module) &&
        !wholeName(`${module}.${fun}`).test(`${module}.${fun}x`)
      )
    })
  )
  t.pass('it held')
})

t.test('examples of the table are right', async t => {
  for (const [name, row] of SETTINGS) {
    if (row.example === undefined) continue
    const read = row.read((parseYaml(row.example) as Record<string, unknown>)[name])
    t.ok('value' in read, name)
  }
})

t.test('a suggestion is the nearest name, and none when nothing is near', async t => {
  t.equal(editDistance('', 'abc'), 3)
  t.equal(editDistance('port', 'prot'), 1)
  t.equal(editDistance('kitten', 'sitting'), 3)
  t.equal(suggest('tmeout', SETTINGS.keys()), 'timeout')
  t.equal(suggest('nodegroup', SETTINGS.keys()), 'nodegroups')
  t.equal(suggest('zzzzzz', SETTINGS.keys()), null)
})
