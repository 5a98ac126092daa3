import { changeFunctions } from './file/change.js'
import { lookFunctions } from './file/look.js'
import { manageFunctions } from './file/manage.js'
import type { Module } from './module.js'

/** Salt's `file` module. */
export const file: Module = { name: 'file', functions: [...lookFunctions, ...changeFunctions, ...manageFunctions] }
