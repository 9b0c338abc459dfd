/** Systems that break one promise now and then: the suite is believed because it finds each of them out. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page, System } from './system.ts'

export type Fault =
  | 'stale read'
  | 'lost write'
  | 'torn page'
  | 'half a transaction'
  | 'two swaps win'
  | 'head goes back'
  | 'commit changes'

/** `system`, but for one promise. `after`: how many requests are answered rightly before. */
export function faultySystem(system: System, fault: Fault, after = 3): System {
  let asked = 0
  const due = (every: number) => ++asked > after && asked % every === 0
  switch (fault) {
    case 'stale read': {
      const old = new Map<string, string | null>()
      return {
        ...system,
        get: async (key) => {
          const found = await system.get(key)
          const before = old.get(key)
          if (before !== undefined && before !== found && key.startsWith('shared/') && due(5)) return before
          old.set(key, found)
          return found
        },
      }
    }
    case 'lost write':
      return {
        ...system,
        put: async (key, value, when) =>
          (when === undefined && key.startsWith('shared/') && due(7)) || system.put(key, value, when),
      }
    case 'torn page':
      return {
        ...system,
        // The first half as it was, the second as it is when its writer has gone round.
        page: async (input) => {
          const before = await system.page(input)
          if (input.commit !== undefined || !input.prefix.startsWith('stairs')) return before
          let later = before
          for (let look = 0; look < 500 && !isWholeTurnLater(before, later); look++) {
            await sleep(2)
            later = await system.page(input)
          }
          const half = Math.ceil(before.files.length / 2)
          return { ...later, files: [...before.files.slice(0, half), ...later.files.slice(half)] }
        },
      }
    case 'half a transaction':
      return {
        ...system,
        transaction: async (name, files) => {
          if (!due(4)) return system.transaction(name, files)
          for (const [key, value] of files) await system.put(key, value)
          return true
        },
      }
    case 'two swaps win':
      return {
        ...system,
        put: async (key, value, when) => {
          const done = await system.put(key, value, when)
          return done || (when !== undefined && due(3))
        },
      }
    case 'head goes back': {
      const seen: string[] = []
      return {
        ...system,
        head: async () => {
          const head = await system.head()
          if (head !== undefined && seen.at(-1) !== head) seen.push(head)
          return seen.length > 2 ? seen.at(-3) : head
        },
      }
    }
    case 'commit changes':
      return {
        ...system,
        page: async (input) => {
          const { commit: _commit, ...rest } = input
          const page: Page = await system.page(input.commit !== undefined && input.prefix === 'shared/' ? rest : input)
          return page
        },
      }
  }
}

/** The last step has become higher than the first one was. */
const isWholeTurnLater = (before: Page, later: Page) => (later.files.at(-1)?.size ?? 0) > (before.files[0]?.size ?? 0)
