import type { JsonSchema } from '../fields.ts'
import { type ShapeName, shapes } from '../shapes.ts'

/** What is wrong with a value by its shape; empty if nothing is. As much of JSON Schema as the shapes use. */
export function faultsOf(shape: ShapeName, value: unknown): string[] {
  return check(shapes[shape], value, shape)
}

function check(schema: JsonSchema, value: unknown, where: string): string[] {
  if (schema.$ref !== undefined) return check(shapes[schema.$ref.split('/').at(-1) as ShapeName], value, where)
  if (schema.oneOf !== undefined) {
    const tries = schema.oneOf.map((one) => check(one, value, where))
    return tries.some((faults) => faults.length === 0)
      ? []
      : [`${where} is none of its kinds: ${tries.flat().join('; ')}`]
  }
  const types = schema.type === undefined ? [] : [schema.type].flat()
  if (types.length > 0 && !types.includes(typeOf(value, types))) return [`${where} is ${JSON.stringify(value)}`]
  if (schema.const !== undefined && value !== schema.const) return [`${where} is not ${schema.const}`]
  if (schema.enum !== undefined && !schema.enum.includes(value as string)) return [`${where} is ${String(value)}`]
  if (schema.format === 'date-time' && typeof value === 'string' && new Date(value).toISOString() !== value) {
    return [`${where} is no time: ${value}`]
  }
  if (Array.isArray(value)) return value.flatMap((item, index) => check(schema.items ?? {}, item, `${where}[${index}]`))
  if (typeof value === 'object' && value !== null) return checkMembers(schema, value, where)
  return []
}

function checkMembers(schema: JsonSchema, value: object, where: string): string[] {
  const faults = (schema.required ?? [])
    .filter((name) => !Object.hasOwn(value, name))
    .map((name) => `${where} lacks ${name}`)
  for (const [name, member] of Object.entries(value)) {
    const known = schema.properties?.[name]
    if (known !== undefined) faults.push(...check(known, member, `${where}.${name}`))
    else if (schema.additionalProperties === false) faults.push(`${where} has an unknown ${name}`)
  }
  return faults
}

function typeOf(value: unknown, types: readonly string[]): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value === 'number' && types.includes('integer') && Number.isInteger(value) ? 'integer' : typeof value
}
