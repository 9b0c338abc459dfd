import { settledWithin } from '../settled-within.ts'
import { XML_HEAD } from './xml.ts'

/**
 * A document that takes its time: its first line, a space every so often, and the rest when it is there. AWS does the same: the
 * answer is 200 from the start, and an error document in its body if it comes to nothing.
 */
export async function* keepAlive(rest: Promise<string>, everyMs: number): AsyncGenerator<string> {
  yield XML_HEAD
  for (;;) {
    const settled = await settledWithin(rest, everyMs)
    if (settled) {
      yield settled.value
      return
    }
    yield ' '
  }
}
