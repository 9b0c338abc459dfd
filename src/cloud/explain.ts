import {
  ObjectNotFound,
  type StoreError,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from './object-store.ts'

/** Turns what a store answered into the stores' vocabulary. */
export type Explain<Place, Answer> = (place: Place, answer: Answer, cause?: unknown) => StoreError

/**
 * How long a store asks to be left alone, by its Retry-After (RFC 9110, 10.2.3): seconds, or a date, which is compared with the
 * store's own (`Date`).
 */
export function retryAfterMs(value: string | undefined, date = ''): number | undefined {
  if (value === undefined) return undefined
  const waitMs = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.parse(date)
  return Number.isFinite(waitMs) && waitMs >= 0 ? waitMs : undefined
}

/**
 * What every service can say and nobody needs another word for. `said` gives an answer in words; `pauseOf` is how long it asks
 * to be left alone.
 */
export function commonExplanations<Place extends { readonly service: string }, Answer>(
  said: (answer: Answer) => string,
  pauseOf: (answer: Answer) => number | undefined,
) {
  type One = Explain<Place, Answer>
  const pause = (answer: Answer) => {
    const waitMs = pauseOf(answer)
    return waitMs === undefined ? {} : { retryAfterMs: waitMs }
  }
  const noObject: One = (_, __, cause) => new ObjectNotFound('there is no such object', { what: 'object' }, cause)
  const precondition: One = (_, answer, cause) => new StorePreconditionFailed(said(answer), {}, cause)
  const throttled: One = ({ service }, answer, cause) =>
    new StoreThrottled(`${service} takes no more requests now (${said(answer)})`, pause(answer), cause)
  const unreachable: One = ({ service }, answer, cause) =>
    new StoreUnreachable(`${service} failed (${said(answer)})`, pause(answer), cause)
  const rejected: One = ({ service }, answer, cause) =>
    new StoreRejected(`${service} refused the request (${said(answer)})`, {}, cause)
  return { noObject, precondition, throttled, unreachable, rejected }
}
