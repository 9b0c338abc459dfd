/**
 * Pictures drawn by this repository, for the demo, the tests and the documents: none of them is anybody's photograph.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import sharp from 'sharp'

export interface Picture {
  /** File name; its ending says the format. */
  readonly name: string
  readonly bytes: Buffer
}

const width = 480
const height = 320

function svg(content: string): Buffer {
  return Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${content}</svg>`,
  )
}

/** Hills, a sun and a house: soft gradients beside hard outlines. */
const landscape = svg(`
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#2f6fb5"/><stop offset="1" stop-color="#f6d9a8"/></linearGradient>
    <linearGradient id="near" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#3d7a35"/><stop offset="1" stop-color="#1c3d1e"/></linearGradient>
  </defs>
  <rect width="480" height="320" fill="url(#sky)"/>
  <circle cx="372" cy="92" r="36" fill="#fff3c4"/>
  <path d="M0 214 L70 132 L118 180 L196 84 L300 214 L380 150 L480 222 L480 320 L0 320 Z" fill="#59708a"/>
  <path d="M196 84 L170 116 L190 126 L206 114 L226 122 Z" fill="#f4f7fa"/>
  <path d="M0 250 C 90 190 170 240 250 236 S 400 190 480 232 L480 320 L0 320 Z" fill="url(#near)"/>
  <rect x="92" y="214" width="74" height="58" fill="#d8c7a6"/>
  <path d="M82 216 L129 176 L176 216 Z" fill="#8c2f24"/>
  <rect x="120" y="240" width="18" height="32" fill="#4a3626"/>
  <rect x="100" y="226" width="14" height="14" fill="#f8f2c0"/>
  <rect x="144" y="226" width="14" height="14" fill="#f8f2c0"/>
  <rect x="300" y="222" width="10" height="46" fill="#4a3626"/>
  <circle cx="305" cy="204" r="32" fill="#27592b"/>`)

/** A flower: many curved outlines in bright colours. */
const flower = svg(`
  <rect width="480" height="320" fill="#24352a"/>
  <path d="M240 160 C 246 230 232 280 250 320" stroke="#4c8a3f" stroke-width="9" fill="none"/>
  ${Array.from({ length: 12 }, (_, i) => `<ellipse cx="240" cy="82" rx="22" ry="62" fill="${i % 2 ? '#f2b632' : '#e8912a'}" transform="rotate(${i * 30} 240 150)"/>`).join('')}
  <circle cx="240" cy="150" r="34" fill="#5a3418"/>
  ${Array.from({ length: 9 }, (_, i) => `<circle cx="240" cy="132" r="5" fill="#c98a3a" transform="rotate(${i * 40} 240 150)"/>`).join('')}`)

/** Plain figures on white, partly see-through. */
const figures = svg(`
  <rect x="40" y="40" width="130" height="110" fill="#1d4e89"/>
  <circle cx="300" cy="110" r="72" fill="#c0392b" fill-opacity="0.8"/>
  <path d="M70 290 L150 180 L230 290 Z" fill="#2e7d32"/>
  <path d="M260 220 L440 190 L420 300 L280 296 Z" fill="none" stroke="#222" stroke-width="8"/>`)

/** A chessboard seen at an angle: straight lines that meet. */
const board = svg(`
  <rect width="480" height="320" fill="#7d6b58"/>
  <g transform="translate(240 160) rotate(18) skewX(-12)">
    <rect x="-148" y="-148" width="296" height="296" fill="#3a2a1c"/>
    ${Array.from({ length: 64 }, (_, i) => `<rect x="${-128 + 32 * (i % 8)}" y="${-128 + 32 * Math.floor(i / 8)}" width="32" height="32" fill="${(i + Math.floor(i / 8)) % 2 ? '#3d2b1f' : '#e9d8b4'}"/>`).join('')}
  </g>`)

/** A soft gradient and nothing else: there is no edge in it to be found. */
const fog = svg(`
  <defs><radialGradient id="fog"><stop offset="0" stop-color="#d5dbe0"/><stop offset="1" stop-color="#8d99a6"/></radialGradient></defs>
  <rect width="480" height="320" fill="url(#fog)"/>`)

/** The same scene with one thing more, for a second commit. */
const landscapeWithMoon = Buffer.from(
  landscape.toString().replace('</svg>', '<circle cx="52" cy="56" r="20" fill="#f7f7f2"/></svg>'),
)

/** Several kinds: JPEG, PNG in colour, PNG that is partly see-through, PNG in grey, and one without edges. */
export async function drawPictures(): Promise<readonly Picture[]> {
  return [
    { name: 'a.png', bytes: await sharp(landscape).png().toBuffer() },
    { name: 'board.jpg', bytes: await sharp(board).jpeg({ quality: 88 }).toBuffer() },
    { name: 'figures.png', bytes: await sharp(figures).png().toBuffer() },
    { name: 'flower.jpg', bytes: await sharp(flower).jpeg({ quality: 90 }).toBuffer() },
    { name: 'fog.png', bytes: await sharp(fog).toColourspace('b-w').png().toBuffer() },
  ]
}

/** `a.png` changed a little. */
export async function drawChangedPicture(): Promise<Picture> {
  return { name: 'a.png', bytes: await sharp(landscapeWithMoon).png().toBuffer() }
}

/** A PNG cut off in the middle: the beginning is right, so that only reading all of it shows that it is broken. */
export function breakPicture(picture: Picture): Picture {
  return { name: picture.name, bytes: picture.bytes.subarray(0, Math.floor(picture.bytes.length / 2)) }
}

export async function writePictures(folder: string, pictures: readonly Picture[]): Promise<void> {
  for (const picture of pictures) await writeFile(join(folder, picture.name), picture.bytes)
}
