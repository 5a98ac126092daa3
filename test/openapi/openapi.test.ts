import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/shared/paths.js'
import { parseYaml } from '../../src/shared/yaml.js'
import { httpServer } from '../helpers/http.js'
import { openapiText } from '../helpers/openapi.js'

interface Operation {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly security?: readonly object[]
  readonly responses: Readonly<Record<string, unknown>>
}
interface Contract {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

t.test('openapi.yaml is what the server says of itself (npm run openapi writes it)', async t => {
  t.equal(readFileSync(join(packageRoot(), 'openapi.yaml'), 'utf8'), await openapiText())
})

t.test('the running server shows the same contract at /docs', async t => {
  const s = await httpServer(t)
  const { paths } = (await s.app.inject('/docs/json')).json() as Contract
  const written = parseYaml(readFileSync(join(packageRoot(), 'openapi.yaml'), 'utf8')) as Contract
  t.strictSame(paths, written.paths)
  const page = await s.app.inject('/docs')
  t.strictSame([page.statusCode, page.headers['content-type']], [200, 'text/html; charset=utf-8'])
  t.notMatch(page.headers['content-security-policy'], "default-src 'none'", 'the page may load its own scripts')
})

t.test('every operation says what it is for, what it answers, and how it refuses who has no token', async t => {
  const { paths } = parseYaml(readFileSync(join(packageRoot(), 'openapi.yaml'), 'utf8')) as Contract
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { summary, tags, security, responses }] of Object.entries(operations)) {
      const name = `${method} ${path}`
      t.ok(summary, `${name} has a summary`)
      t.ok(tags?.length, `${name} has a tag`)
      t.ok(
        Object.keys(responses).some(status => /^(?:2|101$)/.test(status)),
        `${name} says what it answers`
      )
      if (security?.length) t.ok(responses['401'], `${name} says how it refuses`)
    }
  }
})
