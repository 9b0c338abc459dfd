export { type BodyDigest, bodyDigest } from './body-digest.ts'
export { type CutRule, findCut, upTo } from './gear.ts'
export { type DigestName, digestOnce } from './hashers.ts'
export { cutShared, digestShared, digestsUnderWay, type SharedBytes, shutdownDigests } from './pool.ts'
