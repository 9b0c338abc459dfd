import type { JsonSchema } from './fields.ts'

/** The words that shapes are written in. */

export const text: JsonSchema = { type: 'string' }
export const count: JsonSchema = { type: 'integer', minimum: 0 }
export const time: JsonSchema = { type: 'string', format: 'date-time' }
export const yes: JsonSchema = { type: 'boolean' }
export const textOrNull: JsonSchema = { type: ['string', 'null'] }
export const timeOrNull: JsonSchema = { type: ['string', 'null'], format: 'date-time' }
export const countOrNull: JsonSchema = { type: ['integer', 'null'] }
export const texts: JsonSchema = { type: 'array', items: text }
export const anything: JsonSchema = {}
export const number: JsonSchema = { type: 'number', minimum: 0 }
export const oneOf = (...values: string[]): JsonSchema => ({ type: 'string', enum: values })
export const only = (value: string): JsonSchema => ({ type: 'string', const: value })
export const several = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
export const named = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` })
export const dictionary: JsonSchema = { type: 'object', additionalProperties: text }

export function shape(required: Record<string, JsonSchema>, optional: Record<string, JsonSchema> = {}): JsonSchema {
  return {
    type: 'object',
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false,
  }
}
