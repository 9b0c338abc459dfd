import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { keepAlive } from './keep-alive.ts'
import { readXml } from './xml-read.ts'

describe('an answer that takes its time', () => {
  it('begins at once, is kept alive by spaces, and is one document in the end', async () => {
    let finish = (_text: string) => {}
    const rest = new Promise<string>((resolve) => {
      finish = resolve
    })
    const pieces: string[] = []
    for await (const piece of keepAlive(rest, 1)) {
      pieces.push(piece)
      if (pieces.length === 4) finish('<A><B>done</B></A>')
    }
    assert.deepEqual(pieces.slice(1, 4), [' ', ' ', ' '])
    assert.equal(readXml(Buffer.from(pieces.join('')), 'A').child('B')?.text, 'done')
  })
})
