import { routes } from '../../routes/index.js'
import { defaultConfig } from '../../src/config/schema.js'
import { buildHttp } from '../../src/plugins/http.js'
import type { Services } from '../../src/services.js'
import { createLog } from '../../src/shared/log.js'
import { dumpYaml } from '../../src/shared/yaml.js'

/** The HTTP contract as the server has it, as YAML. Routes are registered and nothing is asked of the services behind them. */
export async function openapiText(): Promise<string> {
  const services = {
    config: defaultConfig(),
    log: createLog({ level: 'silent' }),
    auth: { onRevoked: () => () => {} },
    hub: { stop() {} },
    link: { stop() {} }
  } as unknown as Services
  const app = await buildHttp(services, { routes })
  try {
    // Through JSON, so that parts which are one object here are written out where they stand.
    return dumpYaml(JSON.parse(JSON.stringify(app.swagger())), { sortKeys: false })
  } finally {
    await app.close()
  }
}
