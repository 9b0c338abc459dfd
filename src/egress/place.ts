import type { Target } from '../cloud/index.ts'

/** The bucket (or container) of a target, whatever its folder: what one owner's pushes take turns at. */
export function placeOf({ kind, endpoint, bucket }: Pick<Target, 'kind' | 'endpoint' | 'bucket'>): string {
  return JSON.stringify([kind, endpoint ?? null, bucket])
}
