/** Looks at a picture and at what `edges.ts` made of it, by other means than that code uses. For the test and the demo. */
import sharp from 'sharp'

export interface Look {
  readonly width: number
  readonly height: number
  readonly sameSize: boolean
  /** Only black and white, nothing between. */
  readonly blackAndWhite: boolean
  /** The share of white pixels, 0 to 1. */
  readonly white: number
  /** Mean steepness of the picture below the white pixels, and below the black ones, in grey levels per pixel. */
  readonly steepnessBelowWhite: number
  readonly steepnessBelowBlack: number
}

async function grey(picture: string | Buffer) {
  const { data, info } = await sharp(picture)
    .autoOrient()
    .flatten({ background: 'white' })
    .toColourspace('b-w')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return { pixels: data, width: info.width, height: info.height }
}

export async function look(picture: string | Buffer, edges: string | Buffer): Promise<Look> {
  const before = await grey(picture)
  const after = await grey(edges)
  const { width, height } = after
  const sameSize = before.width === width && before.height === height
  const count = { white: 0, black: 0, between: 0 }
  const steepness = { white: 0, black: 0 }
  for (let y = 2; y < height - 2; y++) {
    for (let x = 2; x < width - 2; x++) {
      const at = y * width + x
      const value = after.pixels[at]
      if (value !== 0 && value !== 255) count.between++
      const colour = value === 255 ? 'white' : 'black'
      count[colour]++
      if (sameSize) steepness[colour] += steepnessAt(before.pixels, width, at)
    }
  }
  return {
    width,
    height,
    sameSize,
    blackAndWhite: count.between === 0,
    white: count.white / Math.max(1, count.white + count.black),
    steepnessBelowWhite: steepness.white / Math.max(1, count.white),
    steepnessBelowBlack: steepness.black / Math.max(1, count.black),
  }
}

/** Over four pixels, so that an edge counts wherever in the width of its white line one stands. */
function steepnessAt(pixels: Uint8Array, width: number, at: number): number {
  const across = Math.abs((pixels[at + 2] ?? 0) - (pixels[at - 2] ?? 0))
  const down = Math.abs((pixels[at + 2 * width] ?? 0) - (pixels[at - 2 * width] ?? 0))
  return Math.max(across, down) / 4
}

/** Why these can't be the edges of that picture; undefined if they can. `blank`: none are expected. */
export function complaint(seen: Look, expected: { blank: boolean } = { blank: false }): string | undefined {
  if (!seen.sameSize) return `its size ${seen.width} × ${seen.height} is not that of the picture`
  if (!seen.blackAndWhite) return 'it has pixels that are neither black nor white'
  const percent = `${(100 * seen.white).toFixed(2)} %`
  if (expected.blank) return seen.white === 0 ? undefined : `${percent} of it is white where no edge is`
  if (seen.white < 0.001) return `only ${percent} of it is white: it is blank`
  if (seen.white > 0.5) return `${percent} of it is white: that is not lines`
  if (seen.steepnessBelowWhite < 3 * seen.steepnessBelowBlack) {
    return `the picture is about as flat below the white pixels (${seen.steepnessBelowWhite.toFixed(1)}) as below the black ones (${seen.steepnessBelowBlack.toFixed(1)})`
  }
  return undefined
}
