export { type BodyDigest, bodyDigest } from './body-digest.ts'
export { type DigestName, digestOnce } from './hashers.ts'
export { digestShared, digestsUnderWay, shutdownDigests } from './pool.ts'
