import t from 'tap'
import { checkTag, MAX_TAG_BYTES, netapiHook } from '../../src/tags/tags.js'

t.test('a tag has 1 to 1024 bytes of UTF-8, no control characters and no half surrogate pairs', async t => {
  for (const good of ['a', 'salt/job/1/ret/web1', 'ünï ☃ 🎉', 'quotes " \' {{ x }} *', 'a'.repeat(MAX_TAG_BYTES), 'ü'.repeat(512)])
    t.equal(checkTag(good), null, good)
  t.match(checkTag(''), /empty/)
  t.match(checkTag('a'.repeat(MAX_TAG_BYTES + 1)), /1024 bytes/)
  t.match(checkTag('ü'.repeat(513)), /1024 bytes/)
  for (const bad of ['a\nb', 'a\0', '\r', 'a\x7fb', '\t']) t.match(checkTag(bad), /control character \(U\+00/, JSON.stringify(bad))
  for (const bad of ['a\ud800', '\udc00b', '\ud800\ud800']) t.match(checkTag(bad), /surrogate/, JSON.stringify(bad))
})

t.test('a hook without a path has a tag without a trailing slash', async t => {
  t.equal(netapiHook(''), 'salt/netapi/hook')
  t.equal(netapiHook('ci/build'), 'salt/netapi/hook/ci/build')
})
