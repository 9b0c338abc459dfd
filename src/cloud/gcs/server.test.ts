import { after, before } from 'node:test'
import { objectStoreContract } from '../testing/contract.ts'
import { openTestGcs } from '../testing/gcs-open.ts'
import { type GcsServer, startGcsServer } from '../testing/gcs-server.ts'

let server: GcsServer
before(async () => {
  server = await startGcsServer()
  server.makeBucket('bucket')
})
after(() => server.close())

const open = async (folder: string) => openTestGcs({ ...server, folder })

const lineBreak = { 'line\nbreak': 'Google: object names hold no line breaks' }
objectStoreContract(
  'the driver of Google Cloud Storage in a folder',
  () => open('folder/deeper'),
  {},
  { refuses: lineBreak },
)
objectStoreContract(
  'the driver of Google Cloud Storage in a whole bucket',
  () => open(''),
  {},
  {
    refuses: {
      ...lineBreak,
      '.': 'Google: no object is called that',
      '..': 'Google: no object is called that',
      '.well-known/acme-challenge/token': 'Google: kept for certificates',
    },
  },
)
