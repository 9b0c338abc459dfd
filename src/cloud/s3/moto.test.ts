import { after, describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import type { S3Target } from '../target.ts'
import { createTargetGuard } from '../target-guard.ts'
import { parseTargetUrl } from '../target-url.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { startMoto } from '../testing/moto.ts'
import { openS3Store } from './s3-store.ts'

const moto = await startMoto()

if ('missing' in moto) {
  describe("the S3 driver against moto's server", () => {
    it('keeps the contract of object stores', { skip: `left out: ${moto.missing}` }, () => undefined)
  })
} else {
  after(() => moto.stop())
  const open = async (folder: string) =>
    openS3Store({
      target: parseTargetUrl(`s3://127.0.0.1:${moto.port}/bucket${folder}`) as S3Target,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      region: undefined,
      guard: createTargetGuard({ allowTargets: [`127.0.0.1:${moto.port}`] }),
      clock: systemClock,
      random: Math.random,
    })
  await moto.makeBucket('bucket')
  objectStoreContract("the S3 driver against moto's server", () => open('/folder/deeper'), {
    'keeps the old object when a body is not what its MD5 says': 'moto does not look at Content-MD5',
    'completes an upload only over what is as expected, if asked to': 'moto looks at If-Match in a PUT alone',
    'completes no upload that was given up': 'moto answers 500 and a page of HTML',
    'knows no upload of another key': 'moto looks an upload up by its id alone',
  })
}
