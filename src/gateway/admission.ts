import { AccessDenied, authorize, isAllowed, type Need, type Person, type Place, type Users } from '../kernel/index.ts'
import { isControlPath, isTransactionName, type RepoName, type Versioning } from '../versioning/index.ts'
import { S3Error } from './s3/codes.ts'
import { readCopySource } from './s3/copy-source.ts'
import { orElse } from './s3/find-entry.ts'
import type { Context, Operation } from './s3/operation.ts'
import type { BucketRequest, ObjectRequest, S3Request } from './s3/request.ts'

/** Where it is known whose a repo is. */
interface Owners {
  readonly versioning: Pick<Versioning, 'roles'>
  /** Without it only the caller has a name. */
  readonly people: Pick<Users, 'person'> | undefined
}

/** What the operation needs on its repo. A transaction is its writers' own: they need not own the repo to end it. Pure. */
export function needOf(
  request: S3Request | BucketRequest | ObjectRequest,
  { needs, needsInTransaction }: Operation,
): Need {
  if (needsInTransaction === undefined || !('bucket' in request)) return needs
  return isTransactionName(request.bucket.name ?? '') ? needsInTransaction : needs
}

/** What part of its repo a request is about; undefined: no single repo. Pure. */
export function placeOf(request: S3Request | BucketRequest | ObjectRequest, operation: Operation): Place | undefined {
  if (operation.on === 'service' || !('bucket' in request)) return undefined
  const { bucket, query } = request
  // A version or a commit that is named by its id can be of any branch.
  const anyBranch = query.has('versionId') || (query.get('flush') ?? '') !== ''
  const branch = anyBranch ? undefined : bucket.name
  // What the control folder tells and does is about the whole bucket, whatever its keys begin with.
  if (operation.on === 'object') return isControlPath(request.keyText) ? { branch } : { branch, path: request.keyText }
  switch (operation.reach) {
    case 'all':
      return { branch }
    case 'prefix':
      return { branch, path: query.get('prefix') ?? '' }
    case 'keys':
    case 'outside':
      return { branch, outside: true }
  }
}

/** Throws AccessDenied, or RepoNotFound for a repo that is not there: S3 tells the two apart. */
export async function admit(
  { services, key }: { services: Owners; key: Context['caller'] },
  need: Need,
  repo: RepoName | undefined,
  place?: Place,
): Promise<void> {
  try {
    authorize(key, need, repo, place)
  } catch (error) {
    if (repo !== undefined && error instanceof AccessDenied) await services.versioning.roles.ownerOf(repo)
    throw error
  }
}

/** Who a repo belongs to. Throws RepoNotFound. */
export async function ownerOf(services: Owners, caller: Person, repo: RepoName): Promise<Person> {
  const id = await services.versioning.roles.ownerOf(repo)
  if (services.people) return services.people.person(id)
  return id === undefined || id === caller.canonicalId ? caller : { canonicalId: id }
}

/** Refuses a request that expects its bucket, or its copy's source, to be somebody else's. */
export async function checkExpectedOwners(
  services: Owners,
  caller: Context['caller'],
  request: S3Request | BucketRequest,
): Promise<void> {
  const { headers } = request
  if ('bucket' in request) {
    await check('x-amz-expected-bucket-owner', request.bucket.repo)
  }
  if (headers['x-amz-source-expected-bucket-owner'] !== undefined && headers['x-amz-copy-source'] !== undefined) {
    const { bucket, path, version } = readCopySource(headers)
    // Whose it is, is for those who may read it; the copy is refused to the others.
    const place = { branch: version ? undefined : bucket.name, path }
    if (isAllowed(caller, 'read', bucket.repo, place)) await check('x-amz-source-expected-bucket-owner', bucket.repo)
  }

  async function check(name: string, repo: RepoName): Promise<void> {
    const expected = headers[name]
    if (expected === undefined) return
    // What is not there yet will be the caller's.
    const owner = await ownerOf(services, caller, repo).catch(orElse('RepoNotFound', caller))
    if (expected === owner.canonicalId) return
    throw new S3Error('AccessDenied', `The bucket is not owned by what ${name} says: that is a canonical user id`)
  }
}
