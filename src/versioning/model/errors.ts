import { DomainError } from '../../kernel/index.ts'

/** Every error of this floor, by its literal code: doors map them exhaustively. */
export type VersioningError =
  | InvalidName
  | InvalidPath
  | RepoNotFound
  | RepoExists
  | BranchNotFound
  | BranchExists
  | BranchNotEmpty
  | CommitNotFound
  | AmbiguousCommit
  | CommitUnavailable
  | PathNotFound
  | VersionNotFound
  | ReadOnly
  | ConditionFailed
  | UploadNotFound
  | InvalidPart
  | InvalidPartOrder
  | PartTooSmall
  | BranchMoved
  | InUse
  | RenameTokenUsed
  | Cycle
  | TransactionNotFound
  | TransactionConflict
  | TransactionLimit
  | NothingToFinish
  | InvalidArchive
  | ImportLimit
  | FilesExist
  | MergeConflict
  | NotInConflict
  | NoMergeBase
  | MainlineNeeded
  | TagExists
  | TagNotFound
  | ContentGone
  | GcRunning
  | CheckRunning

/** A name of a repo, branch or transaction that is not allowed; the message says what is. */
export class InvalidName extends DomainError {
  readonly code = 'InvalidName'
}
/** A path that no file can have. */
export class InvalidPath extends DomainError {
  readonly code = 'InvalidPath'
}
/** There is no such repo (`data.repo`). */
export class RepoNotFound extends DomainError {
  readonly code = 'RepoNotFound'
  constructor(repo: string) {
    super(`there is no repo ${repo}`, { repo })
  }
}
/** The repo is there already (`data.repo`). */
export class RepoExists extends DomainError {
  readonly code = 'RepoExists'
  constructor(repo: string) {
    super(`repo ${repo} exists already`, { repo })
  }
}
/** The repo is not there, or has no such branch (`data.repo`, `data.branch`). */
export class BranchNotFound extends DomainError {
  readonly code = 'BranchNotFound'
  /** `isTag`: there is a tag of this name. */
  constructor(repo: string, branch: string, isTag = false) {
    // Where a bucket is read, a transaction's name stands in the branch's place.
    const message = branch.startsWith('tx-')
      ? `there is no transaction ${branch}.${repo}: it was finished or aborted, or was never opened`
      : `repo ${repo} has no branch ${branch}${isTag ? ': that is a tag, which never changes; name the branch to be changed' : ''}`
    super(message, { repo, branch })
  }
}
/** The branch is there already (`data.repo`, `data.branch`). */
export class BranchExists extends DomainError {
  readonly code = 'BranchExists'
  constructor(repo: string, branch: string) {
    super(`${repo}@${branch} exists already`, { repo, branch })
  }
}
/** The branch still holds files (`data.repo`, `data.branch`). */
export class BranchNotEmpty extends DomainError {
  readonly code = 'BranchNotEmpty'
  constructor(repo: string, branch: string) {
    super(`${repo}@${branch} still holds files; delete them first`, { repo, branch })
  }
}
/** There is no such commit, or not so many before it. */
export class CommitNotFound extends DomainError {
  readonly code = 'CommitNotFound'
}
/** A prefix, or the propagation of another repo's commit, that means several commits (`data.commits`). */
export class AmbiguousCommit extends DomainError {
  readonly code = 'AmbiguousCommit'
}
/** The commit is not finished (`data.state` open or sealed; `data.derived`), or failed (`data.reason`): it can't be read. */
export class CommitUnavailable extends DomainError {
  readonly code = 'CommitUnavailable'
}
/** There is no file at this path (`data.path`). */
export class PathNotFound extends DomainError {
  readonly code = 'PathNotFound'
  constructor(path: string) {
    super(`there is no file ${path}`, { path })
  }
}
/** The file never had this version, or it was deleted (`data.path`, `data.version`). */
export class VersionNotFound extends DomainError {
  readonly code = 'VersionNotFound'
}
/** Writes to it are refused; the message says why and what to do instead. */
export class ReadOnly extends DomainError {
  readonly code = 'ReadOnly'
}
/** `data.condition` names the header that did not hold; `data.missing` is true for If-Match on nothing. */
export class ConditionFailed extends DomainError {
  readonly code = 'ConditionFailed'
}
/** The upload was completed, aborted or never begun (`data.upload`). */
export class UploadNotFound extends DomainError {
  readonly code = 'UploadNotFound'
}
/** A part that a Complete names was not sent, or not with this ETag. */
export class InvalidPart extends DomainError {
  readonly code = 'InvalidPart'
}
/** The parts that a Complete names are not in the order of their numbers. */
export class InvalidPartOrder extends DomainError {
  readonly code = 'InvalidPartOrder'
}
/** A part that is not the last one is below the least size. */
export class PartTooSmall extends DomainError {
  readonly code = 'PartTooSmall'
}
/** The branch moved while the caller was looking; look again. */
export class BranchMoved extends DomainError {
  readonly code = 'BranchMoved'
}
/** The token was used for a rename of other files (`data.source`, `data.path`). */
export class RenameTokenUsed extends DomainError {
  readonly code = 'RenameTokenUsed'
}
/** It can't be removed while others build on it (`data.by`). */
export class InUse extends DomainError {
  readonly code = 'InUse'
}
/** The subscription would make a branch depend on itself (`data.path`). */
export class Cycle extends DomainError {
  readonly code = 'Cycle'
}
/** The transaction was finished or aborted, or was never opened. */
export class TransactionNotFound extends DomainError {
  readonly code = 'TransactionNotFound'
}
/** Files that the transaction changed were changed on its branch too (`data.paths`, the first of `data.total`). It stays open. */
export class TransactionConflict extends DomainError {
  readonly code = 'TransactionConflict'
}
/** The branch has as many open transactions as it may have. */
export class TransactionLimit extends DomainError {
  readonly code = 'TransactionLimit'
}
/** Content that a write relied on (it was stored before, so it was not stored again) has just been collected: sent again, it is stored anew. */
export class ContentGone extends DomainError {
  readonly code = 'ContentGone'
}
/** A collection runs already. */
export class GcRunning extends DomainError {
  readonly code = 'GcRunning'
}
/** A check of the store runs already. */
export class CheckRunning extends DomainError {
  readonly code = 'CheckRunning'
}
/** An archive that can't be imported as it is; the message names the member where it is one (`data.name`). Nothing is changed. */
export class InvalidArchive extends DomainError {
  readonly code = 'InvalidArchive'
}
/** As many imports are under way as may be at once. */
export class ImportLimit extends DomainError {
  readonly code = 'ImportLimit'
}
/** There is no open batch on the branch that could be finished. */
export class NothingToFinish extends DomainError {
  readonly code = 'NothingToFinish'
}
/** Files are in the way of a copy or a move (`data.paths`, the first of `data.total`). Nothing is changed. */
export class FilesExist extends DomainError {
  readonly code = 'FilesExist'
}
/** Both sides of a merge changed the same files (`data.paths`, with their sides, the first of `data.total`). Nothing is changed. */
export class MergeConflict extends DomainError {
  readonly code = 'MergeConflict'
}
/** Paths are to be decided for one side that are not in conflict (`data.paths`, the first of `data.total`). Nothing is changed. */
export class NotInConflict extends DomainError {
  readonly code = 'NotInConflict'
}
/** The two commits have no common ancestor (`data.into`, `data.from`). */
export class NoMergeBase extends DomainError {
  readonly code = 'NoMergeBase'
}
/** A merge is reverted: to which of its parents (`data.parents`)? */
export class MainlineNeeded extends DomainError {
  readonly code = 'MainlineNeeded'
}
/** The repo has a tag of this name (`data.repo`, `data.tag`): tags never move, and branches share their names. */
export class TagExists extends DomainError {
  readonly code = 'TagExists'
  constructor(repo: string, tag: string) {
    super(`${repo} has a tag ${tag} already, and tags never move: choose another name, or delete the tag first`, {
      repo,
      tag,
    })
  }
}
/** The repo has no such tag (`data.repo`, `data.tag`). */
export class TagNotFound extends DomainError {
  readonly code = 'TagNotFound'
  constructor(repo: string, tag: string) {
    super(`repo ${repo} has no tag ${tag}`, { repo, tag })
  }
}
