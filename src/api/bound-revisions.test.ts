import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { IssuedKey } from '../kernel/index.ts'
import type {
  BranchJson,
  CommitJson,
  CredentialsJson,
  MergeJson,
  RevertJson,
  TagJson,
  UserCreatedJson,
} from './contract.ts'
import { type Ask, codeOf, messageOf, type Reply, read, sendJson } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

type Key = NonNullable<Ask['key']>

const REPO = '/v1/repos/images'

describe('a key that is bound to a branch, by the API', () => {
  let stack: Stack
  let owner: IssuedKey
  let bound: CredentialsJson
  let ofDev: CommitJson
  let ofMaster: CommitJson
  before(async () => {
    stack = await openStack({ idleMs: 60_000 })
    const made = await read<UserCreatedJson>(
      sendJson(stack.url, { method: 'POST', path: '/v1/users' }, { name: 'ada' }),
    )
    owner = made.key
    await read(ask(owner, 'POST', '/v1/repos', { name: 'images' }))
    await commit('master', { a: '0' })
    await read(ask(owner, 'POST', `${REPO}/branches`, { name: 'dev', from: 'master' }))
    await commit('dev', { own: '1' })
    ofDev = await commit('dev', { own: '2' })
    ofMaster = await commit('master', { secret: 'of master' })
    for (const [name, at] of [
      ['tagged', 'dev'],
      ['foreign', 'master'],
    ]) {
      await read(ask(owner, 'POST', `${REPO}/tags`, { name, at }))
    }
    bound = await lend('dev')
  })
  after(() => stack.close())

  const ask = (key: Key, method: string, path: string, body?: unknown): Promise<Reply> =>
    sendJson(stack.url, { method, path, key }, body)
  const lend = (branch: string): Promise<CredentialsJson> =>
    read(ask(owner, 'POST', '/v1/credentials', { grants: [{ repo: 'images', role: 'writer', branch }] }))
  async function commit(branch: string, files: Readonly<Record<string, string>>): Promise<CommitJson> {
    const at = { repo: 'images', branch } as never
    for (const [path, text] of Object.entries(files)) {
      const staged = await stack.versioning.content.putBytes(Buffer.from(text))
      await stack.versioning.put(at, { path: path as never, staged, etag: text, attributes: { metadata: {} } })
    }
    return read(ask(owner, 'POST', `${REPO}/branches/${branch}/finish`, {}))
  }
  const denied = async (reply: Promise<Reply>, where: string): Promise<Reply> => {
    const got = await reply
    assert.deepEqual([got.status, codeOf(got)], [403, 'AccessDenied'], `${where}: ${got.text}`)
    return got
  }

  it('reads no tag, not even one of its own commits, and no list of them', async () => {
    for (const tag of ['tagged', 'foreign']) {
      for (const rest of [
        '',
        '/files',
        '/file?path=a',
        '/content?path=a',
        '/log?path=a',
        '/diff',
        '/diff/stat',
        '/provenance',
        '/subvenance',
      ]) {
        await denied(ask(bound, 'GET', `${REPO}/commits/${tag}${rest}`), `${tag}${rest}`)
      }
      await denied(ask(bound, 'GET', `${REPO}/tags/${tag}`), tag)
      await denied(ask(bound, 'GET', `${REPO}/commits/dev/diff?from=images@${tag}`), tag)
      await denied(ask(bound, 'DELETE', `${REPO}/tags/${tag}`), tag)
    }
    await denied(ask(bound, 'GET', `${REPO}/tags`), 'tags')
    await denied(ask(bound, 'POST', `${REPO}/tags`, { name: 'mine', at: 'dev' }), 'a new tag')
    const tags = await read<TagJson[]>(ask(owner, 'GET', `${REPO}/tags`))
    assert.equal(tags.length, 2)
  })

  it('brings nothing onto its branch from a tag, a commit or another branch', async () => {
    const dev = `${REPO}/branches/dev`
    for (const revision of [
      'tagged',
      'foreign',
      'master',
      ofMaster.id,
      ofMaster.id.slice(0, 10),
      ofDev.id,
      'dev^',
      'dev@{2099-01-01}',
    ]) {
      await denied(ask(bound, 'POST', `${dev}/merge`, { from: revision }), `merge ${revision}`)
      await denied(ask(bound, 'POST', `${dev}/merge`, { from: revision, dryRun: true }), `preview ${revision}`)
      await denied(ask(bound, 'POST', `${dev}/revert`, { commit: revision }), `revert ${revision}`)
      await denied(ask(bound, 'POST', `${dev}/move`, { to: revision }), `move ${revision}`)
      await denied(ask(bound, 'POST', `${dev}/restore`, { to: revision }), `restore ${revision}`)
      const copy = { source: `images@${revision}`, from: 'a', to: 'b' }
      await denied(ask(bound, 'POST', `${dev}/files/copy`, copy), `copy ${revision}`)
    }
    assert.equal((await read<BranchJson>(ask(owner, 'GET', dev))).head, ofDev.id)
  })

  it('is told why it may not go back along the branch', async () => {
    for (const revision of ['dev^', 'dev^2', 'dev@{2026-01-01}', 'dev@{2026-01-01}^']) {
      const reply = await denied(ask(bound, 'POST', `${REPO}/branches/dev/revert`, { commit: revision }), revision)
      assert.match(
        messageOf(reply),
        /is bound to images@dev, and dev\S+ may be a commit of another branch.*: name dev itself/,
      )
    }
    const reply = await denied(ask(bound, 'GET', `${REPO}/commits/dev%5E`), 'dev^')
    assert.match(messageOf(reply), /name dev itself/)
    // Nothing of that is said of branches that it does not reach at all.
    const other = await denied(ask(bound, 'GET', `${REPO}/commits/master%5E`), 'master^')
    assert.doesNotMatch(messageOf(other), /name master/)
  })

  it('takes back its own newest commit, and no state that the branch never had', async () => {
    const reverting = async (branch: string, key: Key, body: object) =>
      ask(key, 'POST', `${REPO}/branches/${branch}/revert`, body)
    const back = await read<RevertJson>(reverting('dev', bound, { commit: 'dev' }))
    assert.equal(back.kind, 'reverted')
    // A branch whose newest commit was made elsewhere: what came before that was never its own.
    await read(ask(owner, 'POST', `${REPO}/branches`, { name: 'young', from: ofMaster.id }))
    const young = await lend('young')
    await denied(reverting('young', young, { commit: 'young' }), 'of master')
    // The other parent of a merge is another branch's.
    const merged = await read<MergeJson>(ask(owner, 'POST', `${REPO}/branches/dev/merge`, { from: 'master' }))
    assert.equal(merged.kind, 'merged')
    await denied(reverting('dev', bound, { commit: 'dev', mainline: 2 }), 'mainline 2')
    assert.equal((await reverting('dev', bound, { commit: 'dev', mainline: 1 })).status, 200)
  })
})

describe('a commit of a repo that one may not read', () => {
  let stack: Stack
  before(async () => {
    stack = await openStack({ idleMs: 60_000 })
  })
  after(() => stack.close())

  it('is to who owns another one as a commit that nobody has', async () => {
    const asRoot = (method: string, path: string, body: object) => sendJson(stack.url, { method, path }, body)
    const { key } = await read<UserCreatedJson>(asRoot('POST', '/v1/users', { name: 'bob' }))
    const ask = (method: string, path: string, body?: object) => sendJson(stack.url, { method, path, key }, body)
    await read(asRoot('POST', '/v1/repos', { name: 'vault' }))
    await read(ask('POST', '/v1/repos', { name: 'mine' }))
    const open = await read<CommitJson>(asRoot('POST', '/v1/repos/vault/branches/master/start', {}))
    const vault = await read<CommitJson>(asRoot('POST', '/v1/repos/vault/branches/master/finish', {}))
    await read(ask('POST', '/v1/repos/mine/branches/master/start', {}))
    const mine = await read<CommitJson>(ask('POST', '/v1/repos/mine/branches/master/finish', {}))
    assert.equal(open.id, vault.id)
    const told = async (id: string) => {
      const replies = [
        await ask('GET', `/v1/repos/mine/commits/${id}`),
        await ask('POST', '/v1/repos/mine/branches/master/move', { to: id }),
        await ask('POST', '/v1/repos/mine/branches/master/move', { to: 'master', expect: id }),
        await ask('POST', '/v1/repos/mine/branches/master/merge', { from: id }),
        await ask('POST', '/v1/repos/mine/branches/master/revert', { commit: id }),
        await ask('POST', '/v1/repos/mine/tags', { name: 'v1', at: id }),
      ]
      return replies.map((reply) => [reply.status, codeOf(reply), messageOf(reply).replaceAll(id, 'ID')])
    }
    assert.deepEqual(await told(vault.id), await told('f'.repeat(32)))
    assert.deepEqual(await told(vault.id.slice(0, 10)), await told('f'.repeat(10)))
    const moved = await ask('POST', '/v1/repos/mine/branches/master/move', { to: 'master', expect: mine.id })
    assert.equal(moved.status, 200, moved.text)
  })
})
