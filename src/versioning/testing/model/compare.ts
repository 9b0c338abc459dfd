import type { Answer } from './machine.ts'

/** Which id of the engine stands for which name of the reference: bound when both answer with one in the same place. */
export class Names {
  readonly #engine = new Map<string, string>()
  readonly #reference = new Map<string, string>()

  /** The engine's id of a name. Throws if neither machine ever showed it. */
  of(name: string): string {
    const found = this.#engine.get(name)
    if (found === undefined) throw new Error(`the reference named ${name}, which the engine never showed`)
    return found
  }

  knows(name: string): boolean {
    return this.#engine.has(name)
  }

  bind(name: string, engineId: string): boolean {
    const known = this.#engine.get(name)
    if (known !== undefined || this.#reference.has(engineId)) return known === engineId
    this.#engine.set(name, engineId)
    this.#reference.set(engineId, name)
    return true
  }

  /** For a message: the name of an id where it has one. */
  nameOf(engineId: string): string {
    return this.#reference.get(engineId) ?? `unknown ${engineId.slice(0, 8)}`
  }
}

/** The first place where two answers differ, in words; undefined if they say the same. Ids met for the first time are bound. */
export function difference(names: Names, expected: Answer, found: Answer, where = 'answer'): string | undefined {
  if (isId(expected) && isId(found)) {
    return names.bind(expected['#'], found['#'])
      ? undefined
      : `${where}: ${expected['#']} expected, found ${names.nameOf(found['#'])}`
  }
  if (Array.isArray(expected) && Array.isArray(found)) {
    for (let index = 0; index < Math.min(expected.length, found.length); index++) {
      const differs = difference(names, expected[index]!, found[index]!, `${where}[${index}]`)
      if (differs !== undefined) return `${differs}\n  expected ${show(expected)}\n  found    ${show(found, names)}`
    }
    if (expected.length === found.length) return undefined
    return `${where}: ${expected.length} expected, found ${found.length}\n  expected ${show(expected)}\n  found    ${show(found, names)}`
  }
  if (isRecord(expected) && isRecord(found)) {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(found)])) {
      const differs = difference(names, expected[key] ?? null, found[key] ?? null, `${where}.${key}`)
      if (differs !== undefined)
        return `${differs}\n  in expected ${show(expected)}\n  in found    ${show(found, names)}`
    }
    return undefined
  }
  return expected === found ? undefined : `${where}: ${show(expected)} expected, found ${show(found, names)}`
}

function isRecord(answer: Answer): answer is { readonly [key: string]: Answer } {
  return answer !== null && typeof answer === 'object' && !Array.isArray(answer) && !isId(answer)
}

function isId(answer: Answer): answer is { readonly '#': string } {
  return answer !== null && typeof answer === 'object' && '#' in answer
}

function show(answer: Answer, names?: Names): string {
  const text = JSON.stringify(answer, (_key, value: Answer) => {
    if (!isId(value)) return value
    return names ? names.nameOf(value['#']) : value['#']
  })
  return text.length > 2_000 ? `${text.slice(0, 2_000)}…` : text
}
