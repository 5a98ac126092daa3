import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot } from '../shared/paths.js'

/** The Salt whose behaviour functions and states have; clients compare versions (`test.version`, `manage.versions`). */
export const SALT_VERSION = '3006.0'
export const SALT_VERSION_INFO: readonly number[] = [3006, 0]

export const BRINE_VERSION = (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }).version
