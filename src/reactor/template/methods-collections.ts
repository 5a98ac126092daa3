/** The methods of lists, tuples, dicts, sets and dict views. */
import { bind, flag, integer, REQUIRED } from './bind.js'
import type { Env, Method } from './env.js'
import { runtimeError } from './errors.js'
import { compare, equals, iterate, listOf } from './operators.js'
import { repr } from './text.js'
import { type Kwargs, orElse, PyDict, PyDictView, PyList, type PyRange, PySet, PyTuple, Undefined, type Value } from './values.js'

type Parameters = Record<string, Value | typeof REQUIRED>

function adder<Self>(table: Map<string, Method>) {
  return (name: string, parameters: Parameters, body: (self: Self, args: Value[], env: Env, kwargs: Kwargs) => Value): void => {
    table.set(name, (self, args, kwargs, env) => {
      env.budget.step()
      return body(self as Self, bind(name, args, kwargs, parameters), env, kwargs)
    })
  }
}

// ---- lists and tuples ----------------------------------------------------------------------------------------------------------------------

const lists = new Map<string, Method>()
const tuples = new Map<string, Method>()
const list = adder<PyList>(lists)
const tuple = adder<PyTuple>(tuples)

function countOf(items: readonly Value[], value: Value, env: Env): number {
  env.budget.step(items.length)
  return items.filter(item => equals(item, value)).length
}

function indexOf(items: readonly Value[], value: Value, start: number, stop: number, env: Env): number {
  env.budget.step(items.length)
  const from = start < 0 ? Math.max(0, start + items.length) : start
  const to = stop < 0 ? stop + items.length : stop
  for (let index = from; index < Math.min(to, items.length); index++) if (equals(items[index]!, value)) return index
  throw runtimeError(`${repr(value, env.budget)} is not in list`)
}

const INDEX = { value: REQUIRED, start: 0, stop: Number.MAX_SAFE_INTEGER } as const

list('count', { value: REQUIRED }, (self, [value], env) => countOf(self.items, value!, env))
list('index', INDEX, (self, [value, start, stop], env) => indexOf(self.items, value!, integer(start), integer(stop), env))
tuple('count', { value: REQUIRED }, (self, [value], env) => countOf(self.items, value!, env))
tuple('index', INDEX, (self, [value, start, stop], env) => indexOf(self.items, value!, integer(start), integer(stop), env))

const ranges = new Map<string, Method>()
const range = adder<PyRange>(ranges)
range('count', { value: REQUIRED }, (self, [value], env) => countOf([...iterate(self)], value!, env))
range('index', { value: REQUIRED }, (self, [value], env) => indexOf([...iterate(self)], value!, 0, self.length, env))

list('append', { object: REQUIRED }, (self, [value], env) => {
  env.budget.grow(1)
  self.items.push(value!)
  return null
})
list('extend', { iterable: REQUIRED }, (self, [items], env) => {
  for (const item of listOf(items!, env.budget)) self.items.push(item)
  return null
})
list('insert', { index: REQUIRED, object: REQUIRED }, (self, [index, value], env) => {
  env.budget.grow(1)
  const at = integer(index)
  self.items.splice(at < 0 ? Math.max(0, at + self.items.length) : at, 0, value!)
  return null
})
list('pop', { index: -1 }, (self, [index]) => {
  const at = integer(index)
  const place = at < 0 ? at + self.items.length : at
  if (self.items.length === 0) throw runtimeError('pop from empty list')
  if (place < 0 || place >= self.items.length) throw runtimeError('pop index out of range')
  return self.items.splice(place, 1)[0]!
})
list('remove', { value: REQUIRED }, (self, [value], env) => {
  env.budget.step(self.items.length)
  const at = self.items.findIndex(item => equals(item, value!))
  if (at < 0) throw runtimeError('list.remove(x): x not in list')
  self.items.splice(at, 1)
  return null
})
list('clear', {}, self => {
  self.items.length = 0
  return null
})
list('copy', {}, (self, _args, env) => {
  env.budget.grow(self.items.length)
  return new PyList([...self.items])
})
list('reverse', {}, (self, _args, env) => {
  env.budget.step(self.items.length)
  self.items.reverse()
  return null
})
lists.set('sort', (self, args, kwargs, env) => {
  if (args.length > 0) throw runtimeError('sort() takes no positional arguments')
  const [key, reverse] = bind('sort', [], kwargs, { key: null, reverse: false })
  const list = self as PyList
  list.items = sorted(list.items, key ?? null, flag(reverse), env)
  return null
})

/** Python's `sorted`: stable, in both directions; `key` is something to call. */
export function sorted(items: readonly Value[], key: Value, reverse: boolean, env: Env): Value[] {
  const keyed = items.map(item => ({ item, key: key === null ? item : env.call(key, [item], new Map()) }))
  return sortKeyed(keyed, reverse, env)
}

export function sortKeyed(keyed: { item: Value; key: Value }[], reverse: boolean, env: Env): Value[] {
  const compareKeys = (a: Value, b: Value) => {
    env.budget.step()
    const order = compare(a, b, '<')
    return Number.isNaN(order) ? 0 : order
  }
  return keyed.toSorted((a, b) => (reverse ? compareKeys(b.key, a.key) : compareKeys(a.key, b.key))).map(({ item }) => item)
}

// ---- dicts -------------------------------------------------------------------------------------------------------------------------------------

const dicts = new Map<string, Method>()
const dict = adder<PyDict>(dicts)

dict('items', {}, self => new PyDictView('dict_items', self))
dict('keys', {}, self => new PyDictView('dict_keys', self))
dict('values', {}, self => new PyDictView('dict_values', self))
dict('get', { key: REQUIRED, default: null }, (self, [key, fallback]) => orElse(self.get(key!), fallback!))
dict('setdefault', { key: REQUIRED, default: null }, (self, [key, fallback], env) => {
  const value = self.get(key!)
  if (value !== undefined) return value
  env.budget.grow(1)
  self.set(key!, fallback!)
  return fallback!
})
dict('copy', {}, (self, _args, env) => {
  env.budget.grow(self.size)
  return PyDict.of(self.entries())
})
dict('clear', {}, self => {
  self.clear()
  return null
})
dict('popitem', {}, self => {
  const last = [...self.entries()].at(-1)
  if (last === undefined) throw runtimeError("'popitem(): dictionary is empty'")
  self.delete(last[0])
  return new PyTuple(last)
})
dicts.set('pop', (receiver, args, kwargs, env) => {
  const self = receiver as PyDict
  const [key, fallback] = bind('pop', args, kwargs, { key: REQUIRED, default: new Undefined('') })
  const value = self.get(key!)
  if (value === undefined) {
    if (fallback instanceof Undefined) throw runtimeError(repr(key!, env.budget))
    return fallback!
  }
  self.delete(key!)
  return value
})
dicts.set('update', (receiver, args, kwargs, env) => {
  if (args.length > 1) throw runtimeError(`update expected at most 1 argument, got ${args.length}`)
  const self = receiver as PyDict
  for (const [key, value] of pairsOf(args[0] ?? null, env)) self.set(key, value)
  for (const [key, value] of kwargs) self.set(key, value)
  env.budget.grow(kwargs.size)
  return null
})
dict('fromkeys', { iterable: REQUIRED, value: null }, (_self, [keys, value], env) =>
  PyDict.of(listOf(keys!, env.budget).map(key => [key, value!] as const))
)

/** The pairs of a dict or of a list of pairs. */
export function pairsOf(value: Value, env: Env): [Value, Value][] {
  if (value === null) return []
  if (value instanceof PyDict) {
    env.budget.grow(value.size)
    return [...value.entries()].map(([key, item]) => [key, item])
  }
  return listOf(value, env.budget).map((pair, index) => {
    const items = [...iterate(pair, `cannot convert dictionary update sequence element #${index} to a sequence`)]
    if (items.length !== 2) throw runtimeError(`dictionary update sequence element #${index} has length ${items.length}; 2 is required`)
    return [items[0]!, items[1]!]
  })
}

// ---- sets and views -----------------------------------------------------------------------------------------------------------------------------

const sets = new Map<string, Method>()
const set = adder<PySet>(sets)

function combine(name: string, pick: (own: PySet, other: PySet) => Iterable<Value>): void {
  set(name, { other: REQUIRED }, (self, [other], env) => new PySet(pick(self, new PySet(listOf(other!, env.budget)))))
}

combine('union', (own, other) => [...own.members.keys(), ...other.members.keys()])
combine('intersection', (own, other) => [...own.members.keys()].filter(item => other.members.has(item)))
combine('difference', (own, other) => [...own.members.keys()].filter(item => !other.members.has(item)))
set('add', { elem: REQUIRED }, (self, [item]) => {
  self.members.set(item!, null)
  return null
})
set('discard', { elem: REQUIRED }, (self, [item]) => {
  self.members.delete(item!)
  return null
})

const views = new Map<string, Method>()
adder<PyDictView>(views)('isdisjoint', { other: REQUIRED }, (self, [other], env) => {
  const items = listOf(other!, env.budget)
  return !self.list().some(own => items.some(item => equals(own, item)))
})

export const listMethods: ReadonlyMap<string, Method> = lists
export const rangeMethods: ReadonlyMap<string, Method> = ranges
export const tupleMethods: ReadonlyMap<string, Method> = tuples
export const dictMethods: ReadonlyMap<string, Method> = dicts
export const setMethods: ReadonlyMap<string, Method> = sets
export const viewMethods: ReadonlyMap<string, Method> = views
