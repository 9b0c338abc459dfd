import { AccessDenied, type AccessKey, type Grant, type Need, type Place, type Role } from './model.ts'

const rank: Readonly<Record<Role, number>> = { reader: 1, writer: 2, owner: 3 }
const rankNeeded = { read: rank.reader, write: rank.writer, owner: rank.owner } as const

/** What a role lets its user do. */
export const needOfRole: Readonly<Record<Role, 'read' | 'write' | 'owner'>> = {
  reader: 'read',
  writer: 'write',
  owner: 'owner',
}

/**
 * The one rule that decides whether a key may do something. `repo` is undefined for what concerns all repos at once; `place` says
 * what part of the repo it is about, and left out it is all of it: a key that is bound to a branch or a prefix then has no right.
 * Pure.
 */
export function isAllowed(key: AccessKey, need: Need, repo: string | undefined, place?: Place): boolean {
  if (need === 'known') return true
  // What administers the server is done with a key that somebody keeps, not with one that was handed out.
  if (need === 'admin') return key.admin && key.temporary === undefined
  const grants = key.temporary?.grants
  if (repo === undefined) return key.admin && grants === undefined
  const role = key.roles?.get(repo)
  if (!key.admin && (role === undefined || rank[role] < rankNeeded[need])) return false
  return grants === undefined || grants.some((grant) => covers(grant, rankNeeded[need], repo, place))
}

function covers(grant: Grant, needed: number, repo: string, place: Place | undefined): boolean {
  if (grant.repo !== repo || rank[grant.role] < needed) return false
  if (grant.branch !== undefined && place?.branch !== grant.branch) return false
  if (grant.prefix === undefined) return true
  return place !== undefined && (place.outside === true || place.path?.startsWith(grant.prefix) === true)
}

/** `isAllowed`, or AccessDenied that says what is missing. */
export function authorize(key: AccessKey, need: Need, repo: string | undefined, place?: Place): void {
  if (isAllowed(key, need, repo, place)) return
  const where = repo === undefined ? 'this server' : `repo ${repo}`
  const data = { need, ...(repo === undefined ? {} : { repo }) }
  // Who sends no key is let in where something is public, and has no id to be named by.
  if (key.accessKeyId === '') throw new AccessDenied('the request is not signed, and this is not public', data)
  if (key.temporary !== undefined) {
    throw new AccessDenied(
      `the temporary key ${key.accessKeyId} has no right to ${verbs[need]} ${where} here: it is bound to what it was made for, and never administers`,
      data,
    )
  }
  throw new AccessDenied(
    `key ${key.accessKeyId} needs the right to ${verbs[need]} ${where}; ask an administrator${repo === undefined ? '' : ' or an owner of the repo'} for it`,
    data,
  )
}

const verbs: Readonly<Record<Need, string>> = {
  known: 'reach',
  read: 'read on',
  write: 'write on',
  owner: 'own',
  admin: 'administer',
}

/** Whether the key may make a repo of a name that is free; it becomes the owner. */
export function mayCreateRepos(key: AccessKey): boolean {
  return (key.admin || key.mayCreateRepos === true) && key.temporary?.grants === undefined
}

/** Throws AccessDenied where `mayCreateRepos` is false. */
export function authorizeNewRepo(key: AccessKey, repo: string): void {
  if (mayCreateRepos(key)) return
  throw new AccessDenied(`key ${key.accessKeyId} may not create repos; ask an administrator to create ${repo}`, {
    need: 'create',
    repo,
  })
}
