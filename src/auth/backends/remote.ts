import type { Config } from '../../config/schema.js'
import { type Backend, ONLY_AT_LOGIN } from './backend.js'
import { type LdapSettings, ldapSettings } from './ldap-settings.js'
import { PamBackend } from './pam.js'

/** Seconds that a PAM login may take: its modules wait some two seconds after a wrong password, or ask a network. */
const PAM_SECONDS = 10

/** The backends that ask somebody else, as far as `external_auth` has users of them. */
export function remoteBackends(config: Pick<Config, 'external_auth'> & Partial<Config>): [string, Backend][] {
  const backends: [string, Backend][] = []
  if (config.external_auth.ldap) backends.push(['ldap', lazily(ldapSettings(config))])
  if (config.external_auth.pam)
    backends.push(['pam', new PamBackend({ service: config['auth.pam.service'] ?? 'login', timeout: PAM_SECONDS })])
  return backends
}

/** The library of the directory's protocol is loaded at the first login: the start need not wait for it. */
function lazily(settings: LdapSettings): Backend {
  let made: Promise<Backend> | null = null
  const backend = () => {
    made ??= import('./ldap.js').then(({ LdapBackend }) => new LdapBackend(settings))
    return made
  }
  return {
    remote: true,
    login: async (user, password) => (await backend()).login(user, password),
    account: () => ONLY_AT_LOGIN,
    onChange: () => () => {}
  }
}
