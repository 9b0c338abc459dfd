/**
 * Finds the edges in pictures: greyscale, Gaussian blur, Sobel in both directions, magnitude, threshold.
 *
 * A pipeline's code is an ordinary program. It reads what is below /pfs/<input> and writes what it makes below /pfs/out; it
 * fails by an exit code other than 0, and what it prints is kept as the log of the datum. Where Sluice can't give it a /pfs of
 * its own, SLUICE_PFS names the folder that stands for it.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { dirname, extname, join, relative } from 'node:path'
import sharp from 'sharp'

const pfs = process.env['SLUICE_PFS'] ?? '/pfs'
const inputFolder = join(pfs, 'images')
const outputFolder = join(pfs, 'out')

/** Files with other endings are left alone, so that a README beside the photographs does no harm. */
const pictureEndings = new Set(['.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff', '.gif', '.avif'])

/** Standard deviation of the blur, in pixels: enough to calm the noise of a camera, little enough to keep thin lines. */
const blurSigma = 1.4

/** How steep is an edge: a step of 20 grey levels (of 256), spread by the blur, comes out at about 45. */
const threshold = 45

interface Grey {
  readonly width: number
  readonly height: number
  /** One byte for each pixel, row by row. */
  readonly pixels: Uint8Array
}

async function readBlurredGrey(file: string): Promise<Grey> {
  // Upright as the camera meant it, since the PNG will not carry the orientation; transparent parts count as white.
  const { data, info } = await sharp(file)
    .autoOrient()
    .flatten({ background: 'white' })
    .greyscale()
    .blur(blurSigma)
    .toColourspace('b-w')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  if (info.channels !== 1) throw new Error(`expected 1 channel of grey, got ${info.channels}`)
  return { width: info.width, height: info.height, pixels: data }
}

/** White (255) where the picture changes fast, black (0) elsewhere. The outermost pixels have too few neighbours: black. */
function findEdges({ width, height, pixels }: Grey): Grey {
  const edges = new Uint8Array(width * height)
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x
      const grey = (dx: number, dy: number) => pixels[at + dy * width + dx] ?? 0
      const horizontal = grey(1, -1) + 2 * grey(1, 0) + grey(1, 1) - grey(-1, -1) - 2 * grey(-1, 0) - grey(-1, 1)
      const vertical = grey(-1, 1) + 2 * grey(0, 1) + grey(1, 1) - grey(-1, -1) - 2 * grey(0, -1) - grey(1, -1)
      if (Math.hypot(horizontal, vertical) >= threshold) edges[at] = 255
    }
  }
  return { width, height, pixels: edges }
}

async function writePng({ width, height, pixels }: Grey, file: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true })
  await sharp(pixels, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(file)
}

/** All files below a folder, as paths relative to it. */
async function listFiles(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  return found
    .filter((item) => item.isFile())
    .map((item) => relative(folder, join(item.parentPath, item.name)))
    .sort()
}

/** `dir/photo.jpg` → `dir/photo.png`. */
function outputName(input: string): string {
  return `${input.slice(0, input.length - extname(input).length)}.png`
}

async function main(): Promise<void> {
  const writtenFrom = new Map<string, string>()
  for (const input of await listFiles(inputFolder)) {
    if (!pictureEndings.has(extname(input).toLowerCase())) {
      console.log(`${input}: left alone, its name is not that of a picture (${[...pictureEndings].join(' ')})`)
      continue
    }
    const output = outputName(input)
    const other = writtenFrom.get(output)
    if (other !== undefined) throw new Error(`${other} and ${input} would both become ${output}: rename one`)
    writtenFrom.set(output, input)
    const grey = await readBlurredGrey(join(inputFolder, input)).catch((error: unknown) => {
      throw new Error(`can't read ${input} as a picture: ${error instanceof Error ? error.message : error}`)
    })
    await writePng(findEdges(grey), join(outputFolder, output))
    console.log(`${input}: ${grey.width} × ${grey.height} → ${output}`)
  }
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
