import { MAX_LIST_KEYS, MAX_PARTS } from '../../kernel/index.ts'
import { invalidArgument, S3Error } from './codes.ts'

/** 1 to 10,000; undefined if it is not there. */
export function readPartNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= MAX_PARTS) return number
  throw invalidArgument(
    'partNumber',
    text.slice(0, 100),
    `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`,
  )
}

/** A page size: any number from 0; above 1,000 it means 1,000. `undefined` and '' mean 1,000. */
export function readPageSize(name: string, text: string | undefined): number {
  if (text === undefined || text === '') return MAX_LIST_KEYS
  const size = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (!(size <= 2_147_483_647))
    throw invalidArgument(name, text.slice(0, 100), `Provided ${name} not an integer or within integer range`)
  return Math.min(size, MAX_LIST_KEYS)
}

/** True for `url`; other encodings there are none. */
export function readEncodingType(text: string | undefined): boolean {
  if (text === undefined) return false
  if (text === 'url') return true
  throw invalidArgument('encoding-type', text.slice(0, 100), 'Invalid Encoding Method specified in Request')
}

/** An opaque token that holds the place where the next page begins. */
export function writeToken(place: string): string {
  return Buffer.from(`1${place}`, 'utf8').toString('base64url')
}

export function readToken(name: string, token: string): string {
  const place = Buffer.from(token, 'base64url').toString('utf8')
  if (!place.startsWith('1') || writeToken(place.slice(1)) !== token) {
    throw invalidArgument(name, token.slice(0, 255), 'The continuation token provided is incorrect')
  }
  return place.slice(1)
}

/** For what a client must send and did not. */
export function required(name: string, value: string | undefined): string {
  if (value !== undefined && value !== '') return value
  throw new S3Error('InvalidRequest', `Missing required parameter: ${name}`)
}
