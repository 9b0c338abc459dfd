import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, parse } from 'node:path'
import { after, describe, it } from 'node:test'
import sharp from 'sharp'
import { breakPicture, drawPictures, writePictures } from '../pictures.ts'
import { complaint, look } from './look.ts'

const code = join(import.meta.dirname, 'edges.ts')
/** Real photographs, if there is such a folder beside the project or EXAMPLE_PHOTOS names one. */
const photos = process.env['EXAMPLE_PHOTOS'] ?? join(import.meta.dirname, '../../../shared/data/photos')

interface Run {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A folder that stands for /pfs, removed at the end. */
async function makePfs() {
  const pfs = await mkdtemp(join(tmpdir(), 'sluice-edges-'))
  const images = join(pfs, 'images')
  const out = join(pfs, 'out')
  await mkdir(images)
  await mkdir(out)
  after(() => rm(pfs, { recursive: true }))
  const run = (): Promise<Run> =>
    new Promise((resolve) => {
      execFile(process.execPath, [code], { env: { ...process.env, SLUICE_PFS: pfs } }, (error, stdout, stderr) => {
        resolve({ exitCode: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr })
      })
    })
  return { images, out, run }
}

describe('the edges example', () => {
  it('finds edges where drawn pictures of several kinds have them, and none in fog', async () => {
    const { images, out, run } = await makePfs()
    const pictures = await drawPictures()
    await writePictures(images, pictures)
    assert.deepEqual(await run().then(({ exitCode, stderr }) => ({ exitCode, stderr })), { exitCode: 0, stderr: '' })
    assert.deepEqual((await readdir(out)).sort(), ['a.png', 'board.png', 'figures.png', 'flower.png', 'fog.png'])
    for (const { name, bytes } of pictures) {
      const blank = name === 'fog.png'
      const seen = await look(bytes, join(out, `${parse(name).name}.png`))
      assert.equal(complaint(seen, { blank }), undefined, name)
    }
  })

  it('draws the outline of a rectangle, all of it and nothing else', async () => {
    const { images, out, run } = await makePfs()
    const [left, top, width, height] = [30, 20, 60, 40]
    const inner = await sharp({ create: { width, height, channels: 3, background: '#204080' } })
      .png()
      .toBuffer()
    await sharp({ create: { width: 120, height: 80, channels: 3, background: '#f0e0c0' } })
      .composite([{ input: inner, left, top }])
      .png()
      .toFile(join(images, 'rectangle.png'))
    assert.equal((await run()).exitCode, 0)
    const edges = sharp(join(out, 'rectangle.png'))
    const { format, width: outWidth, height: outHeight, channels } = await edges.metadata()
    assert.deepEqual(
      { format, outWidth, outHeight, channels },
      { format: 'png', outWidth: 120, outHeight: 80, channels: 1 },
    )
    const data = await edges.toColourspace('b-w').raw().toBuffer()
    for (let y = 0; y < 80; y++) {
      for (let x = 0; x < 120; x++) {
        // The distance from the outline, which runs between two pixels.
        const outside = Math.max(left - 0.5 - x, x - (left + width - 0.5), top - 0.5 - y, y - (top + height - 0.5))
        const distance = Math.abs(outside)
        if (distance < 1) assert.equal(data[y * 120 + x], 255, `white at ${x},${y} on the outline`)
        if (distance > 5) assert.equal(data[y * 120 + x], 0, `black at ${x},${y} away from the outline`)
      }
    }
  })

  it('turns a photo upright as its orientation says', async () => {
    const { images, out, run } = await makePfs()
    const [picture] = await drawPictures()
    const lying = sharp(picture?.bytes).withMetadata({ orientation: 6 })
    await lying.jpeg().toFile(join(images, 'lying.jpg'))
    assert.equal((await run()).exitCode, 0)
    const { width, height } = await sharp(join(out, 'lying.png')).metadata()
    assert.deepEqual([width, height], [320, 480])
    assert.equal(complaint(await look(join(images, 'lying.jpg'), join(out, 'lying.png'))), undefined)
  })

  it('keeps folders, and leaves files alone that are no pictures by name', async () => {
    const { images, out, run } = await makePfs()
    await mkdir(join(images, 'holiday'))
    await writePictures(join(images, 'holiday'), (await drawPictures()).slice(0, 1))
    await writeFile(join(images, 'README.md'), 'no picture')
    const { exitCode, stdout } = await run()
    assert.equal(exitCode, 0)
    assert.match(stdout, /README\.md: left alone/)
    assert.deepEqual((await readdir(out, { recursive: true })).sort(), ['holiday', 'holiday/a.png'])
  })

  for (const [kind, broken] of [
    ['cut off', async () => breakPicture((await drawPictures())[0]!).bytes],
    ['empty', async () => Buffer.alloc(0)],
    ['something else', async () => readFile(code)],
  ] as const) {
    it(`fails and names the file when a picture is broken: ${kind}`, async () => {
      const { images, out, run } = await makePfs()
      await writeFile(join(images, 'a.png'), await broken())
      const { exitCode, stderr } = await run()
      assert.equal(exitCode, 1)
      assert.match(stderr, /^can't read a\.png as a picture: .+\n$/)
      assert.deepEqual(await readdir(out), [])
    })
  }

  it('fails when two pictures of a datum would become one file', async () => {
    const { images, run } = await makePfs()
    const [picture] = await drawPictures()
    await writePictures(images, [picture!, { name: 'a.jpg', bytes: await sharp(picture!.bytes).jpeg().toBuffer() }])
    const { exitCode, stderr } = await run()
    assert.equal(exitCode, 1)
    assert.equal(stderr, 'a.jpg and a.png would both become a.png: rename one\n')
  })

  it('finds edges where photographs have them', { skip: !existsSync(photos) && `no folder ${photos}` }, async () => {
    const { images, out, run } = await makePfs()
    const names = (await readdir(photos)).filter((name) => /\.(jpe?g|png)$/i.test(name))
    assert.ok(names.length > 0, 'there are photographs')
    for (const name of names) await cp(join(photos, name), join(images, name))
    assert.equal((await run()).exitCode, 0)
    for (const name of names) {
      const seen = await look(join(photos, name), join(out, `${parse(name).name}.png`))
      assert.equal(complaint(seen), undefined, name)
    }
  })
})
