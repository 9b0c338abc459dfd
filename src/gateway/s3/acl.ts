import { KIB, type Person } from '../../kernel/index.ts'
import type { CannedAccess, RepoName } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import { ownerElement } from './listing.ts'
import type { Context } from './operation.ts'
import type { RequestHeaders } from './request.ts'
import { leaf, node, XML_HEAD } from './xml.ts'
import { malformed, readXml, type XmlElement } from './xml-read.ts'

/** An owner and at most 100 grants, as AWS has it. */
export const ACL_DOCUMENT_BYTES = 64 * KIB

const EVERYBODY = 'http://acs.amazonaws.com/groups/global/AllUsers'
const KEY_HOLDERS = 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers'
const NAMESPACES = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
const XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'

type Grants = readonly (readonly [group: string, permission: 'READ' | 'WRITE'])[]

/** AWS: "Canned ACL". The owner's full control stands in each. */
const grantsOf: Readonly<Record<CannedAccess, Grants>> = {
  private: [],
  'public-read': [[EVERYBODY, 'READ']],
  'public-read-write': [
    [EVERYBODY, 'READ'],
    [EVERYBODY, 'WRITE'],
  ],
  'authenticated-read': [[KEY_HOLDERS, 'READ']],
}
const cannedNames = Object.keys(grantsOf) as CannedAccess[]

/** These say what is the case anyhow: all that is in a bucket belongs to the bucket's owner. */
const sameAsPrivate = ['bucket-owner-full-control', 'bucket-owner-read']

/** The header `x-amz-acl`; undefined if it is not there. Throws NotImplemented for an ACL that is none of the canned ones. */
export function readCannedAcl(headers: RequestHeaders): CannedAccess | undefined {
  const text = headers['x-amz-acl']
  if (text === undefined) return undefined
  if (sameAsPrivate.includes(text)) return 'private'
  const known = cannedNames.find((name) => name === text)
  if (known) return known
  throw new S3Error(
    'NotImplemented',
    `The ACL ${text.slice(0, 100)} is not implemented: use ${cannedNames.join(', ')}`,
    { Header: 'x-amz-acl' },
  )
}

/** What a PUT ?acl asks for: the header, or a document that grants what one of the canned ACLs does. */
export function readAcl(headers: RequestHeaders, bytes: Buffer): CannedAccess {
  const canned = readCannedAcl(headers)
  if (canned !== undefined) {
    if (bytes.length > 0) {
      throw new S3Error('InvalidRequest', 'Specifying both a canned ACL and a document with grants is not allowed')
    }
    return canned
  }
  if (bytes.length === 0) throw malformed('there is neither a document nor the header x-amz-acl')
  const list = readXml(bytes, 'AccessControlPolicy').child('AccessControlList')
  if (!list) throw malformed('it has no AccessControlList')
  const given = new Set(list.children('Grant').map(readGrant))
  const others = [...given].filter((grant) => !grant.startsWith('owner '))
  for (const name of cannedNames) {
    const wanted = grantsOf[name].map(([group, permission]) => `${group} ${permission}`)
    if (wanted.length === others.length && wanted.every((grant) => given.has(grant))) return name
  }
  throw notCanned()
}

/** `<group> <permission>`, or `owner …` for what is granted to a person. */
function readGrant(grant: XmlElement): string {
  const permission = grant.child('Permission')?.text.trim()
  const grantee = grant.child('Grantee')
  if (!grantee || permission === undefined) throw malformed('a Grant needs Grantee and Permission')
  const group = grantee.child('URI')?.text.trim()
  if (group !== undefined) return `${group} ${permission}`
  const id = grantee.child('ID')?.text.trim()
  if (id === undefined || permission !== 'FULL_CONTROL') throw notCanned()
  return `owner ${id}`
}

function notCanned(): S3Error {
  return new S3Error(
    'NotImplemented',
    'Grants to single users are not implemented: give them a role on the repo, or use one of the canned ACLs ' +
      `(${cannedNames.join(', ')})`,
  )
}

/** The document grants full control to the owner alone; to another it would be a grant. Throws NotImplemented. */
export function checkAclOwner(bytes: Buffer, owner: Person): void {
  if (bytes.length === 0) return
  const grants = readXml(bytes, 'AccessControlPolicy').child('AccessControlList')?.children('Grant') ?? []
  for (const grant of grants) {
    const id = grant.child('Grantee')?.child('ID')?.text.trim()
    if (id !== undefined && id !== owner.canonicalId) throw notCanned()
  }
}

export function aclDocument(owner: Person, access: CannedAccess): string {
  const grantee = (type: string, ...children: readonly string[]) =>
    `<Grantee ${XSI} xsi:type="${type}">${children.join('')}</Grantee>`
  const person = grantee('CanonicalUser', leaf('ID', owner.canonicalId), leaf('DisplayName', owner.name))
  return (
    `${XML_HEAD}<AccessControlPolicy ${NAMESPACES}>${ownerElement(owner)}` +
    node(
      'AccessControlList',
      node('Grant', person, leaf('Permission', 'FULL_CONTROL')),
      ...grantsOf[access].map(([group, permission]) =>
        node('Grant', grantee('Group', leaf('URI', group)), leaf('Permission', permission)),
      ),
    ) +
    '</AccessControlPolicy>'
  )
}

/** Only an owner may share what is in a repo. Throws AccessDenied. */
export async function admitSharing(context: Context, repo: RepoName, access: CannedAccess | undefined): Promise<void> {
  if (access !== undefined && access !== 'private') await context.admit('owner', repo)
}
