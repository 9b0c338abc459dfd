import { BATCH_BOUNDS, InvalidInput } from '../../../kernel/index.ts'
import type { BatchRules } from '../../model/index.ts'

const names = ['idleMs', 'maxAgeMs', 'maxChanges'] as const

/** Of the column. */
export function readBatchRules(text: string | null): BatchRules {
  return text === null ? {} : (JSON.parse(text) as BatchRules)
}

/** The rules that are given, each within its bounds. Throws InvalidInput. */
export function checkedRules(given: BatchRules): BatchRules {
  const rules: { -readonly [Name in keyof BatchRules]: BatchRules[Name] } = {}
  for (const name of names) {
    const value = given[name]
    if (value === undefined) continue
    const { min, max } = BATCH_BOUNDS[name]
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidInput(`${name} must be a whole number from ${min} to ${max}`, { field: name })
    }
    rules[name] = value
  }
  return rules
}
