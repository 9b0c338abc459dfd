export { authorize, authorizeNewRepo, isAllowed, mayCreateRepos } from './authorize.ts'
export {
  AccessDenied,
  type AccessKey,
  type Grant,
  type KeyRing,
  type Need,
  type Person,
  type Place,
  type Role,
  roles,
  UserExists,
  UserNotFound,
} from './model.ts'
export { rootKeyRing } from './root-ring.ts'
export { accessMigrations } from './schema.ts'
export type { TemporaryCredentials } from './temporary.ts'
export {
  type IssuedKey,
  type KeyInfo,
  type NewUser,
  openUsers,
  type RoleSource,
  type UserInfo,
  type Users,
} from './users.ts'
