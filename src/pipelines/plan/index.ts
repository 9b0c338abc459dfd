export {
  canonical,
  contentIdentity,
  type Datum,
  type DatumInput,
  fingerprint,
  type InputMatches,
  type Match,
  type MatchedFile,
  planDatums,
} from './datums.ts'
export { matchInput } from './match.ts'
