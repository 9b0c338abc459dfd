import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { after, describe, it } from 'node:test'
import { crc64nvme } from './crc64.ts'
import { bodyDigest, type DigestName, digestOnce, digestShared, shutdownDigests } from './index.ts'

const all: readonly DigestName[] = ['md5', 'sha256', 'sha1', 'crc32', 'crc32c', 'crc64nvme']

/** Bit by bit, from the definition. */
function slowCrc64(bytes: Uint8Array): bigint {
  let crc = 0xffff_ffff_ffff_ffffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n
  }
  return crc ^ 0xffff_ffff_ffff_ffffn
}

function hex(digests: Iterable<readonly [string, Buffer]>): Record<string, string> {
  return Object.fromEntries([...digests].map(([name, bytes]) => [name, bytes.toString('hex')]).sort())
}

async function inPieces(bytes: Buffer, pieceBytes: number, expectedBytes?: number): Promise<Record<string, string>> {
  const digest = bodyDigest(all, expectedBytes === undefined ? {} : { expectedBytes })
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes))
    await digest.update(piece)
    piece.fill(0)
  }
  return hex(await digest.digest())
}

after(shutdownDigests)

describe('digestOnce', () => {
  it('gives the published check values of "123456789", CRCs big-endian', () => {
    assert.deepEqual(hex(Object.entries(digestOnce(all, Buffer.from('123456789')))), {
      crc32: 'cbf43926',
      crc32c: 'e3069283',
      crc64nvme: 'ae8b14860a799888',
      md5: '25f9e794323b453885f5181f1b624d0b',
      sha1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
      sha256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
    })
  })

  it('gives the digests of nothing', () => {
    const { crc64nvme: crc, sha256 } = digestOnce(['crc64nvme', 'sha256'], Buffer.alloc(0))
    assert.equal(crc.toString('hex'), '0000000000000000')
    assert.equal(sha256.toString('hex'), createHash('sha256').digest('hex'))
  })
})

describe('crc64nvme', () => {
  it('gives the check values of the NVMe specification', () => {
    assert.equal(crc64nvme(Buffer.alloc(4096)), 0x6482d367eb22b64en)
    assert.equal(crc64nvme(Buffer.alloc(4096, 0xff)), 0xc0ddba7302eca3acn)
  })

  it('agrees with the definition at every length and offset around a step of eight', () => {
    const bytes = randomBytes(300)
    for (let length = 0; length <= 40; length++)
      for (let at = 0; at < 9; at++) {
        const piece = bytes.subarray(at, at + length)
        assert.equal(crc64nvme(piece), slowCrc64(piece))
      }
  })

  it('can be taken up again at any place, also over more than its memory holds', () => {
    const bytes = randomBytes(300_001)
    const whole = crc64nvme(bytes)
    assert.equal(whole, slowCrc64(bytes))
    for (const cut of [1, 7, 65_536, 114_688, 200_003]) {
      assert.equal(crc64nvme(bytes.subarray(cut), crc64nvme(bytes.subarray(0, cut))), whole)
    }
  })
})

describe('bodyDigest', () => {
  const sizes = [0, 1, 262_143, 262_144, 262_145, 1_048_576, 3_000_001]

  it('gives the same in the caller’s thread, in workers and at once, whatever the pieces', async () => {
    for (const size of sizes) {
      const bytes = randomBytes(size)
      const expected = hex(Object.entries(digestOnce(all, bytes)))
      for (const pieceBytes of [65_536, 999_983]) {
        assert.deepEqual(await inPieces(bytes, pieceBytes, 0), expected, `local, ${size}`)
        assert.deepEqual(await inPieces(bytes, pieceBytes), expected, `unknown length, ${size}`)
        assert.deepEqual(await inPieces(bytes, pieceBytes, 2 ** 30), expected, `workers, ${size}`)
      }
    }
  })

  it('takes one piece of any size', async () => {
    const bytes = randomBytes(9_000_000)
    assert.deepEqual(await inPieces(bytes, bytes.length, bytes.length), hex(Object.entries(digestOnce(all, bytes))))
  })

  it('makes the caller wait when the workers are behind', async () => {
    const digest = bodyDigest(['md5'], { expectedBytes: 8 << 20 })
    const waited = digest.update(Buffer.alloc(8 << 20))
    assert.ok(waited instanceof Promise)
    await waited
    assert.equal((await digest.digest()).get('md5')?.toString('hex'), '96995b58d4cbf6aaa9041b4f00c7f6ae')
  })

  it('keeps many bodies apart', async () => {
    const bodies = Array.from({ length: 12 }, () => randomBytes(1_500_000))
    const results = await Promise.all(bodies.map((body) => inPieces(body, 100_000, body.length)))
    assert.deepEqual(
      results,
      bodies.map((body) => hex(Object.entries(digestOnce(all, body)))),
    )
  })

  it('fails the digests under way when the workers end, and starts new ones for the next', async () => {
    const digest = bodyDigest(['md5', 'sha256'], { expectedBytes: 1 << 30 })
    await digest.update(Buffer.alloc(1_000_000))
    await shutdownDigests()
    await assert.rejects(digest.digest(), /digest worker ended/)
    digest.abandon()
    const bytes = randomBytes(1_200_000)
    assert.deepEqual(await inPieces(bytes, 65_536, bytes.length), hex(Object.entries(digestOnce(all, bytes))))
  })

  it('hashes shared memory where it stands', async () => {
    const memory = Buffer.from(new SharedArrayBuffer(400_000)).fill(7)
    const pieces = [memory.subarray(1, 300_001), memory.subarray(300_001), memory.subarray(0, 0)]
    const results = await Promise.all(pieces.map((piece) => digestShared(all, [piece])))
    assert.deepEqual(
      results.map((result) => hex(Object.entries(result))),
      pieces.map((piece) => hex(Object.entries(digestOnce(all, piece)))),
    )
  })

  it('lets the process end by itself, also with a body that was abandoned', () => {
    const index = new URL('./index.ts', import.meta.url).href
    const script = `
      import { bodyDigest } from '${index}'
      const digest = bodyDigest(['md5'], { expectedBytes: 1 << 30 })
      await digest.update(Buffer.alloc(1 << 20))
      const other = bodyDigest(['md5'])
      await other.update(Buffer.alloc(1 << 20))
      console.log((await other.digest()).size)
      digest.abandon()`
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 })
    assert.equal(run.stdout.toString(), '1\n')
    assert.equal(run.status, 0, run.stderr.toString())
  })
})

describe('the memory of digests in workers', () => {
  it('goes from body to body, and none finds in its digest what another left', async () => {
    const names: DigestName[] = ['md5', 'sha256']
    const bodies = Array.from({ length: 40 }, (_, index) => Buffer.alloc(3 * 1024 * 1024 + index * 4_099, index + 1))
    const before = process.memoryUsage().arrayBuffers
    let refused = 0
    const hash = async (body: Buffer, index: number) => {
      const digest = bodyDigest(names, { expectedBytes: body.length })
      if (index % 3 === 0) {
        // Given up while an update waits for the workers.
        const late = Promise.resolve(digest.update(body)).catch(() => refused++)
        if (index % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
        digest.abandon()
        return late
      }
      for (let at = 0; at < body.length; at += 100_000) await digest.update(body.subarray(at, at + 100_000))
      const digests = await digest.digest()
      for (const name of names) {
        assert.equal(
          digests.get(name)?.toString('hex'),
          createHash(name).update(body).digest('hex'),
          `${name} ${index}`,
        )
      }
    }
    const numbered = bodies.entries()
    const worker = async () => {
      for (const [index, body] of numbered) await hash(body, index)
    }
    await Promise.all(Array.from({ length: 6 }, worker))
    assert.ok(refused > 0, 'an update of a body that was given up ends')
    assert.ok(process.memoryUsage().arrayBuffers - before < 20 * 1024 * 1024, 'a ring for each would be 40 MiB')
  })
})
