import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../../src/shared/paths.js'
import { openapiText } from '../helpers/openapi.js'

/** `npm run openapi`: writes the HTTP contract as the routes say it. */
writeFileSync(join(packageRoot(), 'openapi.yaml'), await openapiText())
