import { InvalidInput } from '../../kernel/index.ts'
import { parseEndpoint } from '../urls/host.ts'

/** The normal form of an endpoint, where one is given; what is wrong with it is added to `problems`. */
export function readEndpoint(
  text: string | undefined,
  problems: string[],
  parse: (text: string) => string = parseEndpoint,
): string | undefined {
  if (text === undefined || text === '') return undefined
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    problems.push(error.message)
    return undefined
  }
}
