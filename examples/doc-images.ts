/** Makes the pictures of the README: `node examples/doc-images.ts`. They are drawn here, and the edges example does the rest. */
import { execFileSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, parse } from 'node:path'
import { drawPictures } from './pictures.ts'

const shown = ['a.png', 'flower.jpg', 'board.jpg']
const folder = join(import.meta.dirname, '../docs/images')

const pfs = await mkdtemp(join(tmpdir(), 'sluice-doc-images-'))
try {
  await mkdir(join(pfs, 'images'))
  await mkdir(join(pfs, 'out'))
  await mkdir(folder, { recursive: true })
  for (const { name, bytes } of await drawPictures()) {
    if (!shown.includes(name)) continue
    await writeFile(join(pfs, 'images', name), bytes)
    await writeFile(join(folder, name), bytes)
  }
  const code = join(import.meta.dirname, 'edges/edges.ts')
  execFileSync(process.execPath, [code], { env: { ...process.env, SLUICE_PFS: pfs }, stdio: 'inherit' })
  for (const name of await readdir(join(pfs, 'out'))) {
    await copyFile(join(pfs, 'out', name), join(folder, `${parse(name).name}-edges.png`))
  }
} finally {
  await rm(pfs, { recursive: true })
}
