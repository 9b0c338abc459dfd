import type { Role } from '../kernel/index.ts'
import type { RepoName } from './model/index.ts'

/** Who may do what on which repo, by the canonical ids of users. Who these users are, this floor does not know. */
export interface Roles {
  /** Throws RepoNotFound. */
  list(repo: RepoName): Promise<readonly { readonly user: string; readonly role: Role }[]>
  /** By repo. */
  of(user: string): Promise<ReadonlyMap<string, Role>>
  /** Undefined takes the role away. Throws RepoNotFound. */
  set(repo: RepoName, user: string, role: Role | undefined): Promise<void>
  /** Takes all roles of a user away. */
  forget(user: string): Promise<void>
  /** Who made the repo; undefined: the root user. Throws RepoNotFound. */
  ownerOf(repo: RepoName): Promise<string | undefined>
  /** Called after every change of a role, also by a repo that was made or removed, before that is answered. */
  onChange(listener: () => void): () => void
}
