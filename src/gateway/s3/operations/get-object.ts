import { locateObject, readContent, readObjectInput, readParameters, writeObjectHead } from '../object-read.ts'
import { operation } from '../operation.ts'

export const getObject = operation({
  name: 'GetObject',
  on: 'object',
  needs: 'read',
  parameters: readParameters,
  read: readObjectInput,
  run: async (input, context) => {
    const found = await locateObject(input, context)
    if (found.kind === 'notModified') return { found }
    return { found, body: await readContent(context.versioning.content, found.entry, found.range) }
  },
  write: ({ found, body }) => (body === undefined ? writeObjectHead(found) : { ...writeObjectHead(found), body }),
})
