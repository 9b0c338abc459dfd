import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import type { Session } from './session.ts'

/** No key is longer; it bounds what a pipe can make us keep. */
const MAX_CHARACTERS = 64 * 1024

/** One line: typed without being shown, or from a pipe. */
export async function readHidden(session: Session, question: string): Promise<string> {
  const { stdin, stderr } = session
  if (!stdin.isTTY) {
    let text = ''
    for await (const piece of stdin.setEncoding('utf8') as AsyncIterable<string>) {
      text += piece
      if (text.length > MAX_CHARACTERS || text.includes('\n')) break
    }
    return text.split(/\r?\n/, 1)[0] ?? ''
  }
  stderr.write(question)
  // The terminal's own echo is off in raw mode, and readline's goes nowhere.
  const nowhere = new Writable({ write: (_piece, _encoding, done) => done() })
  const reader = createInterface({ input: stdin, output: nowhere, terminal: true })
  try {
    return await reader.question('', { signal: session.signal })
  } finally {
    reader.close()
    stderr.write('\n')
  }
}
