/** `a.b` and `a['b']` as Jinja's sandbox looks them up: in tables of ours, never on JavaScript objects. */
import { floatOf, WholeFloat } from '../../shared/numbers.js'
import type { Env, Method } from './env.js'
import { dictMethods, listMethods, rangeMethods, setMethods, tupleMethods, viewMethods } from './methods-collections.js'
import { strMethods } from './methods-str.js'
import { flat, isFloat, isInt, itemAt, typeName } from './operators.js'
import {
  firstOf,
  GroupTuple,
  Namespace,
  orElse,
  PyBytes,
  PyDict,
  PyDictView,
  PyFunction,
  PyList,
  PyObject,
  PyRange,
  PyRecord,
  PySet,
  PyTuple,
  Undefined,
  type Value
} from './values.js'

/** Attributes that every Python object has; the sandbox refuses them. */
const INTERNAL =
  /^__(?:class|doc|dir|init|new|reduce|reduce_ex|getattribute|setattr|delattr|hash|repr|str|format|sizeof|subclasshook|init_subclass|eq|ne|lt|le|gt|ge|len|iter|getitem|setitem|delitem|contains|add|mul|call|self|name|module|globals|code|closure|func|dict|mro|bases|base|subclasses|builtins|import|wrapped)__$/

function undefinedAttribute(value: Value, name: string): Undefined {
  const owner = value === null ? 'None' : `${typeName(value)} object`
  return new Undefined(`'${owner}' has no attribute '${name}'`)
}

/** `value.name`: an attribute, else an item of that name, else undefined. */
export function getAttribute(input: Value, name: string, env: Env): Value {
  const value = flat(input)
  if (value instanceof Undefined) throw value.error()
  const attribute = attributeOf(value, name, env)
  if (attribute !== undefined) return attribute
  if (name.startsWith('__') && INTERNAL.test(name)) return unsafe(value, name)
  if (value instanceof PyDict) return orElse(firstOf(value.get(name), namespaced(value, name)), undefinedAttribute(value, name))
  return undefinedAttribute(value, name)
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`, false, 'syntax')
}

/** `value[key]`: an item, else (for text) an attribute of that name, else undefined. */
export function getItem(input: Value, rawKey: Value, env: Env): Value {
  const value = flat(input)
  const key = flat(rawKey)
  if (value instanceof Undefined) throw value.error()
  if (value instanceof PyDict) {
    const found = value.get(key)
    if (found !== undefined) return found
  } else if (isInt(key) || typeof key === 'boolean') {
    const found = itemAt(value, Number(key))
    if (found !== undefined) return found
    return missingElement(value, key)
  }
  if (key instanceof Undefined) throw key.error()
  if (typeof key !== 'string') return missingElement(value, key)
  const attribute = attributeOf(value, key, env)
  if (attribute !== undefined) return attribute
  return INTERNAL.test(key) ? unsafe(value, key) : undefinedAttribute(value, key)
}

function missingElement(value: Value, key: Value): Undefined {
  const owner = value === null ? 'None' : `${typeName(value)} object`
  return new Undefined(`${owner} has no element ${typeof key === 'object' ? typeName(key) : String(key)}`)
}

/** The table of methods of a type. */
export function methodsOf(value: Value): ReadonlyMap<string, Method> | null {
  if (typeof value === 'string') return strMethods
  if (!(value instanceof PyObject)) return null
  if (value instanceof PyDict) return dictMethods
  if (value instanceof PyList) return listMethods
  if (value instanceof PyTuple) return tupleMethods
  if (value instanceof PySet) return setMethods
  if (value instanceof PyRange) return rangeMethods
  return value instanceof PyDictView ? viewMethods : null
}

function attributeOf(value: Value, name: string, env: Env): Value | undefined {
  const method = methodsOf(value)?.get(name)
  if (method !== undefined) return new PyFunction(name, (args, kwargs) => method(value, args, kwargs, env))
  if (value instanceof PyRecord) return value.attribute(name)
  if (value instanceof GroupTuple) return value.attribute(name)
  if (value instanceof Namespace) return value.attributes.get(name)
  if (value instanceof PyFunction) return value.attributes?.get(name)
  if (value instanceof PyRange && /^(?:start|stop|step)$/.test(name)) return value[name as 'start' | 'stop' | 'step']
  if (value instanceof PyBytes) return bytesAttribute(value, name)
  if (isInt(value) || typeof value === 'boolean') return intAttribute(value, name)
  return isFloat(value) ? floatAttribute(value, name) : undefined
}

function intAttribute(value: number | bigint | boolean, name: string): Value | undefined {
  const number = typeof value === 'boolean' ? Number(value) : value
  switch (name) {
    case 'real':
    case 'numerator':
      return number
    case 'imag':
      return 0
    case 'denominator':
      return 1
    case 'bit_length':
      return new PyFunction(name, () => (BigInt(number) === 0n ? 0 : BigInt(number).toString(2).replace('-', '').length))
    case 'is_integer':
      return new PyFunction(name, () => true)
    case 'conjugate':
      return new PyFunction(name, () => number)
    default:
      return undefined
  }
}

function bytesAttribute({ data }: PyBytes, name: string): Value | undefined {
  if (name === 'decode') return new PyFunction(name, () => data.toString('utf8'))
  return name === 'hex' ? new PyFunction(name, () => data.toString('hex')) : undefined
}

function floatAttribute(value: number | WholeFloat, name: string): Value | undefined {
  switch (name) {
    case 'real':
      return value
    case 'imag':
      return floatOf(0)
    case 'is_integer':
      return new PyFunction(name, () => value instanceof WholeFloat)
    case 'conjugate':
      return new PyFunction(name, () => value)
    default:
      return undefined
  }
}

/** `salt.cmd.run`: Salt lets the functions of a loader be written with points, too. */
function namespaced(dict: PyDict, name: string): Value | undefined {
  if (!(dict instanceof Functions)) return undefined
  return dict.module(name)
}

/** A dict of functions named `module.function`, as Salt's `salt` variable. */
export class Functions extends PyDict {
  module(name: string): Value | undefined {
    const prefix = `${name}.`
    const members: [Value, Value][] = []
    for (const [key, value] of this.entries())
      if (typeof key === 'string' && key.startsWith(prefix)) members.push([key.slice(prefix.length), value])
    return members.length === 0 ? undefined : PyDict.of(members)
  }
}
