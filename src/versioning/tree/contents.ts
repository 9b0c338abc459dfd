import type { Content } from '../model/index.ts'
import { decodeLeaf } from './codec.ts'
import { decodeNode } from './node.ts'

/** What a node refers to: the nodes below it, or the contents of its entries under their keys. Throws Corrupt. */
export function contentsOf(body: Buffer): {
  readonly children: readonly Buffer[]
  readonly contents: readonly Content[]
  readonly keys: readonly Buffer[]
} {
  const node = decodeNode(body)
  const children: Buffer[] = []
  const contents: Content[] = []
  const keys: Buffer[] = []
  for (let i = 0; i < node.count; i++) {
    if (node.level > 0) children.push(Buffer.from(node.childHash(i), 'hex'))
    else {
      const { key, value } = node.item(i)
      contents.push(decodeLeaf(key, value).content)
      keys.push(key)
    }
  }
  return { children, contents, keys }
}
