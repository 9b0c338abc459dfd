import { locateObject, readObjectInput, readParameters, writeObjectHead } from '../object-read.ts'
import { operation } from '../operation.ts'

export const headObject = operation({
  name: 'HeadObject',
  on: 'object',
  needs: 'read',
  parameters: readParameters,
  read: readObjectInput,
  run: locateObject,
  write: writeObjectHead,
})
