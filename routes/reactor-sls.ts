import { isUtf8 } from 'node:buffer'
import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import micromatch from 'micromatch'
import { brineError } from '../src/errors.js'
import { parseBody, refuseUnlessEmpty, useBodyParser } from '../src/plugins/bodies.js'
import { refusals } from '../src/plugins/errors.js'
import type { Rule } from '../src/reactor/rules.js'
import { type Condition, etagOf, type SlsDocument } from '../src/reactor/sls-editor.js'
import { stampOf } from '../src/shared/clock.js'
import type { SlsVersionInfo } from '../src/store/store.js'
import { allowRules, authorOf } from './reactor.js'
import { TOKEN } from './schemas.js'

const Entry = Type.Object({
  path: Type.String({ description: 'Below its root' }),
  file: Type.String({ description: 'Absolute, as rules name it' }),
  size: Type.Integer({ description: 'Bytes' }),
  changed: Type.String({ description: 'UTC' }),
  rules: Type.Array(Type.String(), { description: 'Ids of the rules that render it; a hundred at most' })
})
const Warning = Type.Object({ line: Type.Integer(), column: Type.Integer(), message: Type.String() })
const Document = Type.Object({
  path: Type.String(),
  file: Type.String(),
  text: Type.String(),
  changed: Type.String(),
  warnings: Type.Array(Warning, { description: 'What is worth a look before this file meets real events' })
})
const Version = Type.Object({
  version: Type.Integer(),
  etag: Type.Union([Type.String(), Type.Null()], { description: 'null: the file was removed' }),
  changed_by: Type.String({ description: 'Empty: found on disk, changed by other means' }),
  changed: Type.String()
})
const FullVersion = Type.Object({ ...Version.properties, text: Type.Union([Type.String(), Type.Null()]) })
const Path = Type.Object({ '*': Type.String({ description: 'Path of the file below reactor_roots' }) })
const conditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The ETag of what is there, or *' })),
  'if-none-match': Type.Optional(Type.Literal('*', { description: 'Only where no file is yet' }))
})
const VersionNumber = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })

/** Rules that one file is said to belong to. */
const MAX_RULES_SHOWN = 100

/** SLS files of the reactor, below `reactor_roots`. Who may see or change rules may do so with them: an SLS runs in the reactor's name, too. */
export const reactorSls: FastifyPluginAsyncTypebox = async app => {
  const { reactor, config } = app.services
  const common = { tags: ['reactor'], security: TOKEN }
  // An SLS is a text: what is sent as text or YAML is taken as it is, JSON wraps it.
  app.removeAllContentTypeParsers()
  useBodyParser(app, (kind, bytes, request) => {
    if (kind === 'form') throw brineError('MEDIA_TYPE', (request.headers['content-type'] ?? '').slice(0, 100))
    if (kind === 'json') return parseBody(kind, bytes, { commandLine: false })
    if (!isUtf8(bytes)) throw brineError('BODY_MALFORMED', 'text', 'it is not valid UTF-8')
    return { text: bytes.toString('utf8') }
  })
  app.addContentTypeParser('*', refuseUnlessEmpty)

  const list = {
    ...common,
    summary: 'SLS files of the reactor',
    description: 'Those below the directories of the setting reactor_roots, by path; and what rules name besides.',
    response: {
      200: Type.Object({
        roots: Type.Array(Type.String()),
        files: Type.Array(Entry),
        elsewhere: Type.Array(Type.Object({ sls: Type.String(), rules: Type.Array(Type.String()) }), {
          description: 'SLS of rules that lie outside of the roots, or are not there'
        })
      }),
      ...refusals(401, 403, 503)
    }
  }
  app.get('/reactor/sls', { schema: list }, async ({ caller }) => {
    allowRules(caller, false)
    const files = await reactor.editor.list()
    const users = new Users(reactor.rules.all(), config.file_roots.base ?? [])
    const shown = files.map(({ path, file, size, changedUs }) => ({ path, file, size, changed: stampOf(changedUs), rules: users.of(file) }))
    return { roots: [...reactor.editor.roots], files: shown, elsewhere: users.rest() }
  })

  const get = {
    ...common,
    summary: 'An SLS file',
    description: 'With `version` as it was then: what is kept of changes that were made here, and of what these found on disk.',
    params: Path,
    querystring: Type.Object({ version: Type.Optional(VersionNumber) }, { additionalProperties: false }),
    response: { 200: Type.Union([Document, FullVersion]), ...refusals(400, 401, 403, 404, 409) }
  }
  app.get('/reactor/sls/*', { schema: get }, async (request, reply) => {
    allowRules(request.caller, false)
    const { version } = request.query
    const path = request.params['*']
    if (version === undefined) return shown(await reactor.editor.read(path), text => reply.header('etag', text))
    const found = await reactor.editor.version(path, version)
    return { ...shownVersion(found), text: found.text }
  })

  const put = {
    ...common,
    summary: 'Write an SLS file',
    description:
      'Its syntax is checked first. The body is the text itself (`text/plain`, `application/x-yaml`), or `{"text": …}`. Over a file that is there ' +
      'only with `If-Match` (428 without, 412 when it has changed); `If-None-Match: *` only where none is. Rules use the new text from the next event on.',
    params: Path,
    headers: conditions,
    body: Type.Object({ text: Type.String() }, { additionalProperties: false }),
    response: { 200: Document, 201: Document, ...refusals(400, 401, 403, 404, 409, 412, 413, 428) }
  }
  app.put('/reactor/sls/*', { schema: put }, async (request, reply) => {
    allowRules(request.caller, true)
    const condition = conditionOf(request.headers)
    const { document, created } = await reactor.editor.write(request.params['*'], request.body.text, authorOf(request), condition)
    return shown(document, etag => reply.code(created ? 201 : 200).header('etag', etag))
  })

  const remove = {
    ...common,
    summary: 'Delete an SLS file',
    description: 'Only with `If-Match`. Its versions are kept. A rule that still names it gives dead letters.',
    params: Path,
    headers: conditions,
    response: { 200: Type.Object({ success: Type.Literal(true) }), ...refusals(400, 401, 403, 404, 409, 412, 428) }
  }
  app.delete('/reactor/sls/*', { schema: remove }, async request => {
    allowRules(request.caller, true)
    await reactor.editor.remove(request.params['*'], authorOf(request), conditionOf(request.headers))
    return { success: true as const }
  })

  const versions = {
    ...common,
    summary: 'Versions of an SLS file, newest first',
    params: Path,
    response: { 200: Type.Object({ versions: Type.Array(Version) }), ...refusals(400, 401, 403, 404, 409) }
  }
  app.get('/reactor/sls-versions/*', { schema: versions }, async request => {
    allowRules(request.caller, false)
    return { versions: (await reactor.editor.versions(request.params['*'])).map(shownVersion) }
  })

  const diff = {
    ...common,
    summary: 'What changed between two versions of an SLS file',
    params: Path,
    querystring: Type.Object(
      { from: VersionNumber, to: Type.Optional({ ...VersionNumber, description: 'What is on disk now by default' }) },
      { additionalProperties: false }
    ),
    response: {
      200: Type.Object({ diff: Type.String({ description: 'Unified; empty for equal texts' }) }),
      ...refusals(400, 401, 403, 404, 409)
    }
  }
  app.get('/reactor/sls-diff/*', { schema: diff }, async request => {
    allowRules(request.caller, false)
    const { from, to } = request.query
    return { diff: await reactor.editor.diff(request.params['*'], from, to ?? null) }
  })

  const restore = {
    ...common,
    summary: 'Make an SLS file what it was in an earlier version',
    description: 'That becomes the newest version. With `If-Match` only over that content.',
    params: Path,
    headers: conditions,
    body: Type.Object({ version: VersionNumber }, { additionalProperties: false }),
    response: { 200: Document, ...refusals(400, 401, 403, 404, 409, 412) }
  }
  app.post('/reactor/sls-restore/*', { schema: restore }, async (request, reply) => {
    allowRules(request.caller, true)
    const { version } = request.body
    const document = await reactor.editor.restore(request.params['*'], version, authorOf(request), conditionOf(request.headers))
    return shown(document, etag => reply.header('etag', etag))
  })
}

function conditionOf(headers: Static<typeof conditions>): Condition {
  const match = headers['if-match']
  return { ...(match === undefined ? {} : { match }), absent: headers['if-none-match'] !== undefined }
}

function shown({ path, file, text, etag, changedUs, warnings }: SlsDocument, tell: (etag: string) => void): Static<typeof Document> {
  tell(etag)
  return { path, file, text, changed: stampOf(changedUs), warnings: [...warnings] }
}

function shownVersion({ version, hash, changedBy, changedUs }: SlsVersionInfo): Static<typeof Version> {
  return { version, etag: hash === null ? null : etagOf(hash), changed_by: changedBy, changed: stampOf(changedUs) }
}

/** Which rules render a file: by its path, by a glob, or by `salt://`. */
class Users {
  readonly #byReference = new Map<string, string[]>()
  readonly #globs: readonly string[]
  readonly #used = new Set<string>()

  constructor(
    rules: readonly Rule[],
    readonly fileRoots: readonly string[]
  ) {
    for (const { id, sls } of rules) {
      for (const reference of sls) {
        const ids = this.#byReference.get(reference) ?? []
        if (ids.length < MAX_RULES_SHOWN) ids.push(id)
        this.#byReference.set(reference, ids)
      }
    }
    this.#globs = [...this.#byReference.keys()].filter(reference => /[*?[]/.test(reference))
  }

  of(file: string): string[] {
    const below = this.fileRoots.filter(root => file.startsWith(`${root}/`)).map(root => `salt://${file.slice(root.length + 1)}`)
    const references = [file, ...below].filter(reference => this.#byReference.has(reference))
    for (const glob of this.#globs) if (micromatch.isMatch(file, glob, GLOB)) references.push(glob)
    for (const reference of references) this.#used.add(reference)
    return [...new Set(references.flatMap(reference => this.#byReference.get(reference)!))].slice(0, MAX_RULES_SHOWN)
  }

  /** What no file that was asked for is meant by. */
  rest(): { sls: string; rules: string[] }[] {
    return [...this.#byReference].filter(([reference]) => !this.#used.has(reference)).map(([sls, rules]) => ({ sls, rules }))
  }
}

/** Shell globs, as rules have them. */
const GLOB = { posix: true, nobrace: true, noextglob: true, nonegate: true, noglobstar: true } as const
